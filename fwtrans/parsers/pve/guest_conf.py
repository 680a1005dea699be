"""Reads a guest's own configuration, qemu-server/<vmid>.conf or lxc/<vmid>.conf, of which the network is what matters.

    net0: virtio=BC:24:11:8E:52:11,bridge=vmbr1,firewall=1,tag=10

The lines of snapshots, and of changes that wait for the guest's restart, stand in sections below and are left out. A
`net<n>` line that PVE cannot read is as good as none: the guest's port is there, perhaps, but no rule is made for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.pve.complaints import Complaints, did_you_mean, shortened
from fwtrans.parsers.pve.lines import SPACE
from fwtrans.parsers.pve.syntax import GuestConf, GuestKind, NetworkDevice, Token

if TYPE_CHECKING:
    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.source import SourceFile

_SECTION = re.compile(r"\[[A-Za-z][A-Za-z0-9_:-]+\]")
_LINE = re.compile(r"([a-z][a-z_]*[0-9]*):[ \t\n\r\f\v]*([^ \t\n\r\f\v].*)", re.DOTALL)
_LXC_LINE = re.compile(r"lxc\.[a-z0-9_.-]+(?::|[ \t]*=)")
_NET = re.compile(r"net(0|[1-9][0-9]?)")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_TRUE, _FALSE = frozenset({"1", "on", "yes", "true"}), frozenset({"0", "off", "no", "false"})
_NETS = 32
_NO_ADDRESS = frozenset({"dhcp", "auto", "manual", ""})
_NOTE = "PVE skips the line: if the guest has this port, the firewall does not know of it and lets all through"

MODELS = frozenset(
    {
        "e1000", "e1000-82540em", "e1000-82544gc", "e1000-82545em", "e1000e", "i82551", "i82557b", "i82559er",
        "ne2k_isa", "ne2k_pci", "pcnet", "rtl8139", "virtio", "vmxnet3",
    }
)  # fmt: skip
"""What a virtual machine's network card can be; each is a key whose value is the MAC address."""

_FLAGS = frozenset({"firewall", "link_down", "host-managed"})
_KEYS = {
    GuestKind.QEMU: frozenset(
        {"model", "macaddr", "bridge", "queues", "rate", "tag", "trunks", "firewall", "link_down", "mtu"}
    ),
    GuestKind.LXC: frozenset(
        {"name", "type", "bridge", "hwaddr", "mtu", "ip", "gw", "ip6", "gw6", "firewall", "tag", "trunks", "rate", "link_down", "host-managed"}
    ),
}  # fmt: skip


class _Property(NamedTuple):
    key: str
    value: Token


def parse_guest_conf(source: SourceFile, vmid: int, kind: GuestKind, sink: DiagnosticSink) -> GuestConf:
    """Return what stands above the first section of the file."""
    complaints = Complaints(source, sink)
    devices: dict[int, NetworkDevice] = {}
    name = ""
    for number, raw in enumerate(source.lines, 1):
        text = raw.strip(SPACE)
        if not text or text[0] == "#":
            continue
        if _SECTION.fullmatch(text):
            break
        found = _LINE.fullmatch(text)
        if found is None:
            if kind is GuestKind.LXC and _LXC_LINE.match(text):
                continue
            hint = "a line is a name, a colon directly behind it, and a value"
            complaints.add("FWT169", f"`{shortened(text)}` is no setting", complaints.whole(number), note="PVE skips it", hint=hint)  # fmt: skip
            continue
        key, value = found[1], Token(found[2], raw.index(text) + found.start(2))
        if key in {"name", "hostname"}:
            name = value.text
        index = network_index(key)
        if index is not None:
            device = parse_network_line(source, number, index, value, kind, complaints)
            if device is not None:
                devices[index] = device
    complaints.close()
    return GuestConf(source, vmid, kind, tuple(devices[index] for index in sorted(devices)), name)


def network_index(key: str) -> int | None:
    """Return the number of a port by its key; there are 32, and `net01` is not a name of one."""
    found = _NET.fullmatch(key)
    return int(found[1]) if found is not None and int(found[1]) < _NETS else None


def parse_network_line(
    source: SourceFile, line: int, index: int, value: Token, kind: GuestKind, complaints: Complaints
) -> NetworkDevice | None:
    """Return a port of a guest, or None where PVE could not read its line."""
    properties = _properties(value)
    seen: dict[str, Token] = {}
    for key, word in properties:
        mistake = _mistake(key, word, kind, seen)
        if mistake is not None:
            message, hint = mistake
            complaints.add("FWT169", message, complaints.at(line, word), note=_NOTE, hint=hint)
            return None
        if kind is GuestKind.QEMU and key in MODELS:  # `virtio=MAC` is short for model=virtio,macaddr=MAC
            seen["model"], seen["macaddr"] = Token(key, word.start - len(key) - 1), word
        else:
            seen[key] = word
    missing, address = ("model", "macaddr") if kind is GuestKind.QEMU else ("name", "hwaddr")
    if missing not in seen:
        complaints.add("FWT169", f"the {missing} of the port is missing", complaints.at(line, value), note=_NOTE)
        return None
    if address not in seen:
        note = (
            "PVE makes one up, a new one each time, so that the filter of MAC addresses drops all that the guest sends"
        )
        complaints.add("FWT169", "the MAC address of the port is missing", complaints.at(line, value), note=note)
    texts = {key: word.text for key, word in seen.items()}
    return NetworkDevice(
        source,
        line,
        index,
        texts.get(address, "").upper(),
        texts.get("bridge", ""),
        firewall=texts.get("firewall", "0").lower() in _TRUE,
        tag=int(texts["tag"]) if "tag" in texts else None,
        trunks=texts.get("trunks", ""),
        link_down=texts.get("link_down", "0").lower() in _TRUE,
        model=texts.get("model", texts.get("type", "")),
        addresses=tuple(texts[key] for key in ("ip", "ip6") if texts.get(key, "") not in _NO_ADDRESS),
        properties=tuple(properties),
    )


def _properties(value: Token) -> list[tuple[str, Token]]:
    """Return keys and values; `virtio` alone, the model without a MAC, is the key `model`."""
    found = []
    start = value.start
    for part in value.text.split(","):
        key, equals, text = part.partition("=")
        if part.strip(SPACE):
            found.append((key, Token(text, start + len(key) + 1)) if equals else ("model", Token(part, start)))
        start += len(part) + 1
    return found


def _mistake(key: str, word: Token, kind: GuestKind, seen: dict[str, Token]) -> tuple[str, str] | None:
    """Return message and hint for a property that PVE refuses."""
    text = word.text
    is_model = kind is GuestKind.QEMU and key in MODELS
    if key in seen or (is_model and seen.keys() & {"model", "macaddr"}):
        return f"`{shortened(key)}` is given twice", ""
    if not is_model and key not in _KEYS[kind]:
        return f"a port has no `{shortened(key)}`", did_you_mean(key, _KEYS[kind] | (MODELS if kind is GuestKind.QEMU else set()))  # fmt: skip
    if not text:
        return f"`{key}` has no value", ""
    if (is_model or key in {"macaddr", "hwaddr"}) and not _MAC.fullmatch(text):
        return f"`{shortened(text)}` is no MAC address", ""
    if key in {"macaddr", "hwaddr"} or is_model:
        return ("the address of a group cannot be a port's own", "") if int(text[:2], 16) & 1 else None
    if key in _FLAGS and text.lower() not in _TRUE | _FALSE:
        return f"`{shortened(text)}` is neither 1 nor 0", ""
    if key == "tag" and not (re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= 4094):
        return f"`{shortened(text)}` is no VLAN: they go from 1 to 4094", ""
    if key == "model" and text not in MODELS:
        return f"`{shortened(text)}` is no network card", did_you_mean(text, MODELS)
    return None
