"""Names that nft can read: which are legal, and what becomes of one that is not.

An iptables chain may be called almost anything (`reject`, `$(reboot)`, `x"y`), an nft identifier starts with a letter,
an underscore or a dot, goes on with letters, digits, `/ - _ .`, and is none of the scanner's words, which are no names
even between quotation marks. The kernel takes 255 bytes (nft 1.0.6 and 1.1.3 on kernel 6.18, tried for each kind).
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING

from fwtrans.backend.nft.keywords import RESERVED, RESERVED_AFTER_AT, RESERVED_FOR_OBJECTS
from fwtrans.diagnostics import Refused

if TYPE_CHECKING:
    from collections.abc import Container

NAME_LIMIT = 255
_KEPT = 240  # of a renamed chain's own name, so that a number fits behind it
_LEGAL = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_ILLEGAL = re.compile(r"[^A-Za-z0-9_./-]+")


class NameKind(Enum):
    """Kinds of names. Sets and maps of a table share one kind; so do all named objects here, for readability."""

    TABLE = "table"
    CHAIN = "chain"
    SET = "set or map"
    OBJECT = "object"
    FLOWTABLE = "flowtable"


_RESERVED = {
    NameKind.TABLE: RESERVED,
    NameKind.CHAIN: RESERVED,
    NameKind.SET: RESERVED | RESERVED_AFTER_AT,
    NameKind.FLOWTABLE: RESERVED | RESERVED_AFTER_AT,
    NameKind.OBJECT: RESERVED | RESERVED_FOR_OBJECTS,
}


def is_legal(name: str, kind: NameKind) -> bool:
    """Tell whether nft reads the name as a name where this kind of name stands."""
    return len(name) <= NAME_LIMIT and name not in _RESERVED[kind] and _LEGAL.fullmatch(name) is not None


@lru_cache(maxsize=65536)
def checked(name: str, kind: NameKind) -> str:
    """Return the name, or refuse one that nft would read as something else."""
    if not is_legal(name, kind):
        raise Refused("FWT501", f"{name!r} cannot be the name of a {kind.value} in nft")
    return name


def legal_name(wanted: str, taken: Container[str], kind: NameKind = NameKind.SET) -> str:
    """Return the wanted name, or a legal one like it that is not taken.

    `reject` becomes `reject_`, `$(reboot)` becomes `reboot`, and a second one `reboot-2`: the same for the same input.
    """
    name = _legal_like(wanted, kind)
    if name not in taken:
        return name
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"


def _legal_like(wanted: str, kind: NameKind) -> str:
    if is_legal(wanted, kind) and len(wanted) <= _KEPT:
        return wanted
    name = _ILLEGAL.sub("_", wanted).strip("_") or "unnamed"
    if not _LEGAL.match(name):
        name = f"_{name}"
    if len(name) > _KEPT:
        return f"{name[:_KEPT]}-{sha256(wanted.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return name if is_legal(name, kind) else f"{name}_"
