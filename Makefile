# The tasks of this project, the same for people and for CI. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DEFAULT_GOAL := help

# A user's PATH leaves out where Debian keeps nft and ip.
export PATH := $(PATH):/usr/sbin:/sbin

# The distribution's own Python where it can make environments: users have that one, and Debian builds it with the compiler's
# profiles, which one built by hand mostly lacks (a fifth of the time of a translation).
PYTHON ?= $(shell /usr/bin/python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2> /dev/null \
            && echo /usr/bin/python3 || echo python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# The host of `make demo` comes with the project; it needs no root and no nft.
DEMO_HOST ?= fixtures/golden/proxmox/10-small-node/input
# More options for pytest, and the part of the tests to run: make test TESTS=tests/cli PYTEST_OPTIONS=-x
PYTEST_OPTIONS ?=
TESTS ?=
# Tests run side by side; most of their time they wait for other programs, so one more than there are processors.
PROCESSES ?= $(shell echo $$(($$(nproc) + 1)))

# command:Debian package:what is left out without it
define TOOLS
nft:nftables:loading what fwtrans prints, and all comparisons with the kernel
iptables-restore:iptables:comparisons with what iptables does in the kernel
ipset:ipset:comparisons with what ipset does in the kernel
ebtables-legacy:ebtables:comparisons with what ebtables does in the kernel
arptables-legacy:arptables:comparisons with what arptables does in the kernel
ip:iproute2:everything that needs a network namespace
unshare:util-linux:everything that needs a network namespace
modprobe:kmod:kernel tests whose module is not loaded yet
busybox:busybox-static:tests that boot another kernel
man:man-db:comparing the list of extensions with the manual pages
endef
export TOOLS

APT := DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0
# Try with the package lists that are here; a fresh machine has none, an old one's are stale.
define APT_INSTALL
apt_install() {
  $(APT) install --no-install-recommends "$$@" && return
  $(APT) update || echo "some package lists could not be fetched" >&2
  $(APT) install --no-install-recommends "$$@"
}
may_install() { [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; }
endef

.PHONY: venv system demo test check bench lab-long clean help

venv: $(INSTALLED) ## make .venv with fwtrans and what its developers need

$(INSTALLED): pyproject.toml
	@$(APT_INSTALL)
	if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	  echo "fwtrans needs Python 3.11 or later; name one with: make PYTHON=python3.12 venv" >&2
	  exit 1
	fi
	if ! $(PYTHON) -c 'import ensurepip, venv' 2> /dev/null; then
	  if ! may_install; then
	    echo "Python's venv module is missing. Debian and Ubuntu: sudo apt-get install python3-venv" >&2
	    exit 1
	  fi
	  apt_install python3-venv
	fi
	if ! $(BIN)/python -m pip --version > /dev/null 2>&1; then
	  rm -rf $(VENV)
	  $(PYTHON) -m venv $(VENV)
	fi
	echo "Installing fwtrans and its tools into $(VENV)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	# pip writes bytecode for what it installs, but not for a checkout; without it each start compiles 230 modules
	$(BIN)/python -m compileall -q fwtrans
	touch $@

system: ## install the system's tools that tests use (as root; otherwise tell what is missing)
	@$(APT_INSTALL)
	packages=() missing=()
	while IFS=: read -r tool package purpose; do
	  command -v "$$tool" > /dev/null && continue
	  packages+=("$$package")
	  missing+=("  $$tool (package $$package): $$purpose")
	done <<< "$$TOOLS"
	if may_install; then
	  if [ $${#packages[@]} -gt 0 ]; then apt_install "$${packages[@]}"; fi
	  # Container images tell dpkg to leave manual pages out.
	  if ! man -w iptables-extensions ebtables > /dev/null 2>&1; then
	    $(APT) install --reinstall -o 'Dpkg::Options::=--path-include=/usr/share/man/man8/*' iptables ebtables
	  fi
	elif [ $${#packages[@]} -gt 0 ]; then
	  printf '%s\n' "Not installed, and so left out of the tests:" "$${missing[@]}" "Debian: sudo apt-get install $${packages[*]}"
	fi
	if [ "$$(id -u)" != 0 ]; then echo "Not root: tests that need network namespaces are left out."; fi

demo: venv ## translate a whole host that comes with the project
	@find $(DEMO_HOST) -type f | sort | while read -r file; do echo "=== before: $$file"; cat "$$file"; done
	echo "=== after: fwtrans translate $(DEMO_HOST) --report -"
	$(BIN)/python -m fwtrans translate $(DEMO_HOST) --report -

test: system venv check ## run check and all tests, and tell at the end what was left out
	$(BIN)/python -m pytest --numprocesses=$(PROCESSES) --dist=worksteal --durations=15 $(PYTEST_OPTIONS) $(TESTS)

check: venv ## lint, formatting, types
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

bench: system venv ## measure everything that is claimed, write docs/benchmarks and the README's figures
	@$(BIN)/python bench/run.py

lab-long: system venv ## all tests, the random ones at full length
	$(BIN)/python -m pytest --lab-long --numprocesses=$(PROCESSES) --dist=worksteal --durations=15 $(PYTEST_OPTIONS) $(TESTS)

clean: ## remove .venv, caches and what was built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## list the tasks
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
