"""A Proxmox VE node with as many guests as are asked for, written as its configuration: every guest has a firewall of its own.

The guests differ in their addresses only, as those of a hosting company do: services, a security group, sets of peers with an
exclusion, ipfilter, logged drops, two kinds of REJECT. What pve-firewall would load for it (dumps of iptables, ip6tables,
ipset and ebtables) is made by the translator's own reader of configurations, which is tested against true dumps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import DiagnosticSink
from fwtrans.read_pve import dumps_of_pve
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from fwtrans.lower.pve.compile import Dumps

FIRST = 100
CLUSTER = """\
[OPTIONS]

enable: 1
policy_in: DROP
policy_out: ACCEPT
log_ratelimit: enable=1,rate=1/second,burst=5

[ALIASES]

local_network 10.0.0.0/24
dbnet 10.10.0.0/16
bastion 10.0.0.50

[IPSET management]

10.0.0.0/24

[IPSET mgmt]

10.0.0.0/16
!10.0.99.0/24
dc/bastion
fd00:1::/48

[RULES]

IN ACCEPT -p tcp -dport 9100 -source +dc/mgmt -log nolog
GROUP web -i vmbr0

[group web]

IN HTTP(ACCEPT) -log nolog
IN HTTPS(ACCEPT) -log nolog
IN ACCEPT -p tcp -dport 8080 -source dc/dbnet -log nolog
IN DROP -p udp -dport 161 -log nolog
"""
HOST = """\
[OPTIONS]

enable: 1
nftables: 1
log_level_in: info
tcpflags: 1
nosmurfs: 1

[RULES]

IN ACCEPT -p tcp -dport 3260 -source 10.0.0.0/24 -log nolog
IN Ping(ACCEPT) -log nolog
"""
GUEST = """\
[OPTIONS]

enable: 1
dhcp: 1
ndp: 1
radv: 0
macfilter: 1
ipfilter: 1
policy_in: DROP
policy_out: ACCEPT
log_level_in: info

[ALIASES]

gw 10.10.255.254

[IPSET ipfilter-net0]

{address}
fd00:10::{number:x}

[IPSET peers]

{peers[0]}
{peers[1]}
10.20.0.0/16
!10.20.7.0/24

[RULES]

IN SSH(ACCEPT) -source +dc/mgmt -log nolog
IN ACCEPT -p tcp -dport 5432 -source dc/dbnet -log nolog
IN ACCEPT -p udp -dport 53,123,5000:5100 -source 10.0.0.0/8 -log nolog
IN Ping(ACCEPT) -log nolog
GROUP web
IN DROP -p tcp -dport 23 -log info
IN ACCEPT -p tcp -dport 9000:9100 -source +guest/peers -log nolog
IN ACCEPT -i net0 -p tcp -dport 6443 -source guest/gw -log nolog
OUT REJECT -p tcp -dport 25 -log nolog
OUT ACCEPT -p tcp -dport 8000:8100 -dest +guest/peers -log nolog
"""
CONF = """\
boot: order=scsi0
cores: 2
memory: 2048
name: vm{number}
net0: virtio={mac},bridge=vmbr0,firewall=1
ostype: l26
"""


def address(place: int) -> str:
    """Return the n-th guest's address."""
    return f"10.10.{place // 250}.{place % 250 + 1}"


def mac(place: int) -> str:
    """Return the n-th guest's hardware address."""
    number = FIRST + place
    return f"BC:24:11:00:{number >> 8:02X}:{number & 255:02X}"


def port(place: int) -> str:
    """Return the n-th guest's port."""
    return f"tap{FIRST + place}i0"


def configuration(guests: int) -> dict[str, str]:
    """Return the files by their names."""
    found = {"cluster.fw": CLUSTER, "host.fw": HOST}
    for place in range(guests):
        found |= _guest(place, guests)
    return found


def with_more(guests: int, more: int, *, logs: bool) -> dict[str, str]:
    """Return the files with more guests, who are nobody's peers: the others stay as they are."""
    found = configuration(guests)
    for place in range(guests, guests + more):
        added = _guest(place, guests)
        if not logs:
            added = {
                name: text.replace(": info\n", ": nolog\n").replace("-log info", "-log nolog")
                for name, text in added.items()
            }
        found |= added
    return found


def with_another_rule(guests: int) -> dict[str, str]:
    """Return the files with another port in a rule of the security group that all guests have."""
    found = configuration(guests)
    found["cluster.fw"] = found["cluster.fw"].replace("-dport 8080 ", "-dport 8081 ")
    return found


def _guest(place: int, ring: int) -> dict[str, str]:
    """Return a guest's files; its peers are the next two of the ring."""
    number = FIRST + place
    peers = [address((place + more) % ring) for more in (1, 2)]
    return {
        f"{number}.fw": GUEST.format(address=address(place), number=number, peers=peers),
        f"qemu-server/{number}.conf": CONF.format(number=number, mac=mac(place)),
    }


def dumps(guests: int) -> Dumps:
    """Return what pve-firewall would load."""
    sink = DiagnosticSink()
    sources = [SourceFile(f"input/{name}", text) for name, text in configuration(guests).items()]
    found = dumps_of_pve(sources, (None, None), sink)
    assert not sink.errors, [item.message for item in sink.errors]
    return found.dumps
