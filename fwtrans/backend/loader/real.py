"""libnftables, as a client. One handle is bound to the network namespace in which it was made (KERNEL_LAB.md 9).

Transactions of elements that are surely understood go to the kernel without it (`elements.py`), and cost what the kernel
takes: libnftables reads the names of all tables, chains and sets first.
"""

from __future__ import annotations

import errno
import json
import os
import re
from ctypes import CDLL, c_bool, c_char_p, c_int, c_void_p
from typing import TYPE_CHECKING, Any

from fwtrans.backend.loader.client import BaseChain, Fault, Unavailable
from fwtrans.backend.loader.datatypes import Unsure
from fwtrans.backend.loader.elements import commands_of, messages_of, shape_of
from fwtrans.backend.loader.image import ObjectImage, TableImage, TableName
from fwtrans.backend.loader.image_text import read_image
from fwtrans.backend.loader.netlink import Netlink, TableHandles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fwtrans.backend.loader.elements import ElementCommand, Message, SetShape
    from fwtrans.backend.loader.netlink import Refusal
    from fwtrans.backend.loader.transaction import Transaction

LIBRARY = "libnftables.so.1"
_TRIES = 8
_PLACE = re.compile(r"^\S*?:(\d+):\d+-\d+: (?:Error: )?(.*)$")


class LibNft:
    """The kernel's tables in the network namespace that this process is in now."""

    def __init__(self, library: str = LIBRARY) -> None:
        self._nft = _open(library)
        self._context: Any = self._nft._Nftables__ctx  # noqa: SLF001 -- the binding has no dry run and no file names
        functions = CDLL(library)
        self._set_dry_run = functions.nft_ctx_set_dry_run
        self._set_dry_run.argtypes = [c_void_p, c_bool]
        self._set_dry_run.restype = None
        self._run_file = functions.nft_run_cmd_from_filename
        self._run_file.argtypes = [c_void_p, c_char_p]
        self._run_file.restype = c_int
        self._netlink = Netlink()
        self._shaped: tuple[int, dict[tuple[TableName, str], SetShape]] = (-1, {})
        try:
            self._netlink.generation()
        except PermissionError:
            self.close()
            raise Unavailable("FWT601", "the kernel lets only root read and change its rules") from None
        except OSError as fault:
            self.close()
            raise Unavailable("FWT602", f"the kernel has no nf_tables: {fault.strerror}") from None

    def close(self) -> None:
        """Give the socket back."""
        self._netlink.socket.close()

    def check(self, transaction: Transaction) -> tuple[Fault, ...]:
        """Let the kernel look at it and take nothing."""
        return self._do(transaction, dry=True)

    def run(self, transaction: Transaction) -> tuple[Fault, ...]:
        """Hand it over."""
        return self._do(transaction, dry=False)

    def generation(self) -> int:
        """Return the kernel's generation id."""
        return self._netlink.generation()

    def tables(self) -> tuple[TableName, ...]:
        """Return all tables of the namespace."""
        return tuple(self._netlink.tables())

    def dormant_tables(self) -> frozenset[TableName]:
        """Ask the kernel, without libnftables."""
        return self._netlink.dormant_tables()

    def listing(self, table: TableName) -> TableImage | None:
        """Return what `nft list table` says."""
        if table not in self.tables():
            return None
        text = self.ask(f"list table {table}")
        return read_image(text)[0]

    def outline(self, table: TableName) -> TableImage | None:
        """Return what nft lists of chains, sets and maps; the rest by name, for 1.0.6 crashes on `list ct timeout`."""
        if table not in self.tables():
            return None
        self._nft.set_terse_output(True)
        try:
            found = [
                image
                for what in ("chains", "sets", "maps")
                for image in read_image(self.ask(f"list {what} {table.family}"))
                if image.name == table
            ]
        finally:
            self._nft.set_terse_output(False)
        named = tuple(ObjectImage(kind, name, ()) for kind, name in self._netlink.objects(table))
        holders = tuple(item for image in found for item in image.objects)
        chains = tuple(chain for image in found for chain in image.chains)
        return TableImage(table, (), (*named, *holders), chains)

    def handles(self, table: TableName) -> TableHandles | None:
        """Ask the kernel, without libnftables."""
        return self._netlink.handles(table)

    def chain_handles(self, table: TableName, chain: str) -> tuple[int, ...]:
        """Ask the kernel for one chain."""
        return self._netlink.rules(table, (chain,), only=chain)[chain]

    def element_sum(self, table: TableName, name: str) -> tuple[int, int]:
        """Ask the kernel for one set."""
        return self._netlink.elements(table, name)

    def base_chains(self) -> tuple[BaseChain, ...]:
        """Return them from the JSON listing of chains, which holds no rules."""
        items = [
            item["chain"] for item in json.loads(self.ask("list chains", as_json=True))["nftables"] if "chain" in item
        ]
        names: dict[TableName, list[str]] = {}
        for item in items:
            names.setdefault(TableName(item["family"], item["table"]), []).append(item["name"])
        return tuple(
            BaseChain(
                table, item["name"], item["hook"], item.get("prio", 0), item["type"], item.get("policy", ""), tuple(names[table])
            )
            for item in items
            if "hook" in item and (table := TableName(item["family"], item["table"]))
        )  # fmt: skip

    def version(self) -> str:
        """Return the version of libnftables, `1.0.6`."""
        found = json.loads(self.ask("list chains arp", as_json=True))["nftables"][0]["metainfo"]["version"]
        return str(found)

    def ask(self, command: str, *, as_json: bool = False) -> str:
        """Return what a listing command prints; raises OSError where it fails."""
        self._nft.set_json_output(as_json)
        try:
            status, output, fault = self._nft.cmd(command.encode())
        finally:
            self._nft.set_json_output(False)
        if status:
            raise OSError(fault.decode(errors="replace").strip())
        text: str = output.decode(errors="surrogateescape")
        return text

    def _do(self, transaction: Transaction, *, dry: bool) -> tuple[Fault, ...]:
        if not transaction:
            return ()
        faults = self.by_netlink(transaction, dry=dry)
        return self.by_libnftables(transaction, dry=dry) if faults is None else faults

    def by_netlink(self, transaction: Transaction, *, dry: bool) -> tuple[Fault, ...] | None:
        """Send elements as they are; None where something about them is not sure, and nothing was sent.

        What the sets are is read first, and the kernel refuses where anybody has committed anything since: then they are read anew.
        """
        refusals: tuple[Refusal, ...] | None = ()
        messages: tuple[Message, ...] = ()
        try:
            commands = commands_of(transaction)
        except Unsure:
            return None
        for _ in range(_TRIES):
            was_read_before = bool(self._shaped[1])
            try:
                generation, shapes = self._shapes(commands)
                messages = messages_of(commands, shapes)
            except (Unsure, OSError):  # libnftables has the words for what cannot be read
                if not was_read_before:
                    return None
                self._shaped = -1, {}
                continue
            refusals = self._netlink.transact(messages, generation, dry=dry)
            if refusals is None or all(refusal.number != errno.ERESTART for refusal in refusals):
                break
            self._shaped = -1, {}
        if refusals is None:
            return None
        found = ((transaction.commands[messages[max(place, 0)].command], number) for place, number in refusals)
        return tuple(
            Fault(f"Could not process rule: {os.strerror(number)}", command) for command, number in dict.fromkeys(found)
        )

    def _shapes(self, commands: Iterable[ElementCommand]) -> tuple[int, dict[tuple[TableName, str], SetShape]]:
        """Return what sets are, and at which commit they were that.

        They are read once for a check and the run after it. The kernel refuses the number where anybody committed since; that
        a transaction of ours would raise it by one is not sure, for one that changes nothing does not.
        """
        places = dict.fromkeys((command.table, command.name) for command in commands)
        generation, shapes = self._shaped
        if not all(place in shapes for place in places):
            now = self._netlink.generation()
            if now != generation:
                generation, shapes = now, {}
            missing = [place for place in places if place not in shapes]
            for place, attributes in zip(missing, self._netlink.set_attributes(missing), strict=True):
                shapes[place] = shape_of(attributes)
            self._shaped = generation, shapes
        return generation, shapes

    def by_libnftables(self, transaction: Transaction, *, dry: bool) -> tuple[Fault, ...]:
        """Run it from a file in memory: only for files nft says which line is wrong."""
        handle = os.memfd_create("fwtrans", os.MFD_CLOEXEC)
        self._set_dry_run(self._context, dry)
        try:
            with os.fdopen(os.dup(handle), "wb") as stream:
                stream.write(transaction.text.encode(errors="surrogateescape"))
            status = self._run_file(self._context, f"/proc/self/fd/{handle}".encode())
            self._nft.nft_ctx_get_output_buffer(self._context)
            error = self._nft.nft_ctx_get_error_buffer(self._context)
        finally:
            self._set_dry_run(self._context, False)
            os.close(handle)
        return faults_of(error.decode(errors="replace"), transaction) if status else ()


def _open(library: str) -> Any:
    try:
        from nftables import Nftables  # noqa: PLC0415, TID251 -- this is its home; it may be missing
    except ImportError:
        hint = "install pip-nftables, or the package python3-nftables"
        raise Unavailable("FWT600", "the Python binding of libnftables is not installed", hint) from None
    try:
        CDLL(library)  # the binding's object is left half made where the library is missing, and complains when it goes
        return Nftables(library)
    except (OSError, AttributeError) as fault:
        hint = "Debian: apt-get install libnftables1"
        raise Unavailable("FWT600", f"libnftables cannot be used: {fault}", hint) from None


def faults_of(errors: str, transaction: Transaction) -> tuple[Fault, ...]:
    """Return nft's messages, each with the command on whose line it stands."""
    found = []
    for line in errors.splitlines():
        place = _PLACE.match(line)
        if place:
            found.append(Fault(place[2], transaction.command_at(int(place[1]))))
        elif line.startswith("Error: "):
            found.append(Fault(line.removeprefix("Error: ")))
    return tuple(found) or (Fault(errors.strip() or "nft gives no reason"),)
