"""What SNPT and DNPT share: stateless translation of IPv6 prefixes (RFC 6296), which has no exact nftables form.

The kernel replaces the prefix and then adds, in ones' complement, the difference of the two prefixes' sums to one of the
16-bit words behind it, so that no checksum changes; the word is the first of four that is not 0xffff. In ICMPv6 errors
it translates the address of the packet inside as well (net/ipv6/netfilter/ip6t_NPT.c, Linux 6.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.ir.fields import Family
from fwtrans.lower.extensions.base import no_exact_form
from fwtrans.lower.values import bad_value, read_address, read_number
from fwtrans.parsers.iptables_save.options import Option

if TYPE_CHECKING:
    from fwtrans.diagnostics import Refused
    from fwtrans.lower.extensions.base import Use

OPTIONS = (Option(name="--src-pfx"), Option(name="--dst-pfx"))

_LONGEST = 64


def check_prefixes(use: Use) -> None:
    """Refuse prefixes that the kernel refuses: longer than 64 bits, or with bits behind their length."""
    for name in ("--src-pfx", "--dst-pfx"):
        text = use.need(name).values[0]
        address_text, _, length_text = text.partition("/")
        address = read_address(address_text, name, Family.IP6)
        length = read_number(length_text or "128", name, high=128)
        if length > _LONGEST or address & ((1 << (128 - length)) - 1):
            raise bad_value(text, f"a prefix of at most {_LONGEST} bits with no bit behind it", name)


def not_in_nftables(use: Use) -> Refused:
    """Return the refusal of the target."""
    return no_exact_form(
        use.name,
        "it keeps the checksum by adding a difference to one 16-bit word of the address, chosen packet by packet, and "
        "translates inside ICMPv6 errors; nftables has no addition, and its prefix NAT tracks connections",
        hint="`snat ip6 prefix to` and `dnat ip6 prefix to` translate prefixes with connection tracking",
    )
