"""Rulesets for the loader's tests: two of the size of a node with fifty guests, and pieces to make others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.backend.loader.image_text import read_image

if TYPE_CHECKING:
    from fwtrans.backend.loader.image import Image

DENIED, ALLOWED = 7, 53
"""UDP ports that both of the big rulesets deny or allow, each in its own way."""
RECEIVER = "192.0.2.130"


def image(text: str) -> Image:
    """Return the image of a text whose lines may be indented as the test likes."""
    return read_image(text)


def big(variant: str, guests: int = 50, addresses: int = 20) -> Image:
    """Return ruleset `a` or `b`. They share the base chain, the dispatch map and the first half of the guests.

    What is denied is denied behind the map, by a chain and a set that the other ruleset does not have, and a packet that
    misses the map is accepted: as in Proxmox VE, where packets for guests without a firewall pass.
    """
    others = range(guests // 2, guests) if variant == "a" else range(guests, guests + guests // 2)
    numbers = [*range(guests // 2), *others]
    chains = "".join(_guest(variant, number) for number in numbers)
    ways = ",\n".join(
        f"198.51.{100 + number // 200}.{number % 200} . udp . {port} : goto guest{number}"
        for number in numbers
        for port in (53, 123, 161)
    )
    known = ",\n".join(
        f"10.{number % 200}.{index + addresses * (number // 200)}.1" for number in numbers for index in range(addresses)
    )
    return image(f"""\
table inet fwtrans {{
	set known {{
		type ipv4_addr
		elements = {{
			{known},
		}}
	}}
	set blocked_{variant} {{
		type ipv4_addr
		flags interval
		elements = {{ 192.0.2.0/24, 203.0.113.0/25 }}
	}}
	map ways {{
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = {{
			{RECEIVER} . udp . {DENIED} : goto denied_{variant},
			{ways},
		}}
	}}
	chain forward {{
		type filter hook forward priority filter; policy accept;
		ip daddr . meta l4proto . th dport vmap @ways
		ip saddr @known accept
		udp dport {ALLOWED} jump allowed_{variant}
	}}
	chain denied_{variant} {{
		ip saddr @blocked_{variant} drop
	}}
	chain allowed_{variant} {{
		ip daddr 192.0.2.0/24 accept
		drop
	}}
{chains}}}
""")


def _guest(variant: str, number: int) -> str:
    ports = range(1000, 1012) if variant == "a" else range(1006, 1018)
    rules = "".join(f"\t\ttcp dport {port + number} accept\n" for port in ports)
    return f"\tchain guest{number} {{\n{rules}\t\tudp dport {ALLOWED} accept\n\t\tdrop\n\t}}\n"
