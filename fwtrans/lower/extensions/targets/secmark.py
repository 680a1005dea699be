"""`-j SECMARK`: gives the packet a security context (SELinux); tables mangle and security.

nft keeps the context in a `secmark` object, which sets the same number that the security module has for it. Both refuse
to load where the module does not know the context. The kernel keeps 255 bytes of it.
"""

from __future__ import annotations

from fwtrans.ir.effect import SetSecmark
from fwtrans.lower.extensions.base import BOTH, Outcome, Place, Target, Use
from fwtrans.lower.extensions.targets.placement import SECURITY
from fwtrans.lower.values import bad_value
from fwtrans.parsers.iptables_save.options import Option

_CONTEXT_BYTES = 255


def _lower(use: Use, _place: Place) -> Outcome:
    context = use.need("--selctx").values[0]
    if not context or len(context.encode()) > _CONTEXT_BYTES:
        raise bad_value(context, f"a security context: 1 to {_CONTEXT_BYTES} bytes", "--selctx")
    return Outcome((SetSecmark(context),))


EXTENSION = Target(name="SECMARK", families=BOTH, options=(Option(name="--selctx"),), lower=_lower, tables=SECURITY)
