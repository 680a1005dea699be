"""ebtables' meaning: one dump becomes an IR table of the bridge family.

ebtables compares the type that stands in the Ethernet header, so a VLAN-tagged frame is 802_1Q and nothing else; nft's
`ether type` reads the same bytes. A user chain has a policy of its own: falling off its end accepts (or drops), and only
with policy RETURN does it come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic, DiagnosticSink, Refused
from fwtrans.ir.fields import Family
from fwtrans.ir.rule import Rule
from fwtrans.ir.ruleset import BaseHook, Chain, Hook, Table
from fwtrans.ir.verdict import Accept, Drop, Jump, Return, Verdict
from fwtrans.lower.bridge_options import lower_bridge_matches
from fwtrans.lower.bridge_targets import lower_bridge_target, refuse_orphans
from fwtrans.lower.unreached_loops import without_unreached_loops
from fwtrans.parsers.ebtables_save.parse import bridge_word_span

if TYPE_CHECKING:
    from fwtrans.ir.rule import Step
    from fwtrans.parsers.ebtables_save.syntax import BridgeChain, BridgeDump, BridgeRule

# include/uapi/linux/netfilter_bridge.h and net/bridge/netfilter/ebtable_*.c
_HOOKS = {
    ("filter", "INPUT"): (Hook.INPUT, -200),
    ("filter", "FORWARD"): (Hook.FORWARD, -200),
    ("filter", "OUTPUT"): (Hook.OUTPUT, 200),
    ("nat", "PREROUTING"): (Hook.PREROUTING, -300),
    ("nat", "OUTPUT"): (Hook.OUTPUT, 100),
    ("nat", "POSTROUTING"): (Hook.POSTROUTING, 300),
}
_WITHOUT_IN = {("filter", "OUTPUT"), ("nat", "OUTPUT"), ("nat", "POSTROUTING")}
_WITHOUT_OUT = {("filter", "INPUT"), ("nat", "PREROUTING"), ("broute", "BROUTING")}
_POLICIES: dict[str, Verdict] = {"ACCEPT": Accept(), "DROP": Drop()}

_OWN_ADDRESS = (
    "ebtables dnat: no address that it writes is a bridge's own or that of a group: ebtables changes what kind of packet"
    " it is (`pkttype`) as well, without which the host does not take it"
)


def lower_ebtables(dump: BridgeDump, sink: DiagnosticSink, *, name: str = "fwtrans") -> Table:
    """Return the dump as one IR table; what cannot be said exactly goes to the sink."""
    names = _chain_names(dump)
    chains: list[Chain] = []
    for table in dump.tables:
        for chain in table.chains:
            lowering = _ChainLowering(dump, table.name, chain, names, sink)
            chains.append(lowering.run())
    return without_unreached_loops(Table(Family.BRIDGE, name, tuple(chains)), sink)


def bridge_assumptions(dump: BridgeDump) -> tuple[str, ...]:
    """Return what the translation of an ebtables dump rests on.

    ebt_dnat.c compares the new address with the bridge's, except at OUTPUT. An nft rule cannot: that of every packet
    that was for somebody else would have to be changed blindly.
    """
    arriving = (
        chain for table in dump.tables if table.name == "nat" for chain in table.chains if chain.name != "OUTPUT"
    )
    if dump.program == "ebtables" and any(rule.target == "dnat" for chain in arriving for rule in chain.rules):
        return (_OWN_ADDRESS,)
    return ()


def _chain_names(dump: BridgeDump) -> dict[tuple[str, str], str]:
    names: dict[tuple[str, str], str] = {}
    for table in dump.tables:
        for chain in table.chains:
            names[table.name, chain.name] = chain.name if table.name == "filter" else f"{table.name}-{chain.name}"
    return names


@dataclass(slots=True)
class _ChainLowering:
    dump: BridgeDump
    table: str
    chain: BridgeChain
    names: dict[tuple[str, str], str]
    sink: DiagnosticSink
    number: int = 0

    def run(self) -> Chain:
        rules: list[Rule] = []
        for number, syntax in enumerate(self.chain.rules, 1):
            self.number = number
            try:
                steps, verdict = self._rule(syntax)
            except Refused as refused:
                self._report(refused, syntax)
                continue
            rules.append(Rule(tuple(steps), verdict, (self.dump.source.origin(syntax.line),), syntax.counters))
        origin = self.dump.source.origin(self.chain.line)
        place = _HOOKS.get((self.table, self.chain.name))
        base = None
        if place is not None:
            base = BaseHook("filter", place[0], place[1], self.chain.policy == "ACCEPT")
        elif self.chain.name == "BROUTING":
            self._broute(rules)
        elif self.chain.policy in _POLICIES:
            rules.append(Rule((), _POLICIES[self.chain.policy], (origin,)))
        return Chain(self.names[self.table, self.chain.name], tuple(rules), base, origin)

    def _broute(self, rules: list[Rule]) -> None:
        """Refuse rules of the broute table: routing instead of bridging needs `meta broute`, kernel 6.3 and nft 1.0.8."""
        if rules or self.chain.policy != "ACCEPT":
            refused = Refused("FWT502", "the broute table needs nft 1.0.8 and kernel 6.3: the target has less")
            first = self.chain.rules[0] if self.chain.rules else None
            self._report(refused, first)

    def _rule(self, syntax: BridgeRule) -> tuple[list[Step], Verdict | None]:
        identity = f"bridge/{self.table}/{self.chain.name}/{self.number}"
        self._check_interfaces(syntax)
        steps: list[Step] = list(lower_bridge_matches(syntax.options, identity))
        target = syntax.target
        if (self.table, target) in self.names:
            return steps, Jump(self.names[self.table, target])
        if target in {"", "CONTINUE"}:
            refuse_orphans(syntax.options)
            return steps, None
        if target in _POLICIES:
            return steps, _POLICIES[target]
        if target == "RETURN":
            return steps, Return()
        more, verdict = lower_bridge_target(target, syntax.options)
        return [*steps, *more], verdict

    def _check_interfaces(self, syntax: BridgeRule) -> None:
        """Refuse `-o` where no packet has an outgoing interface yet, and `-i` where none has come in, as ebtables does."""
        place = (self.table, self.chain.name)
        for options, where in (({"-i", "--logical-in"}, _WITHOUT_IN), ({"-o", "--logical-out"}, _WITHOUT_OUT)):
            for use in syntax.options:
                if use.name in options and place in where:
                    raise Refused("FWT117", f"`{use.name}` cannot stand in {self.chain.name}", option=use.name)

    def _report(self, refused: Refused, syntax: BridgeRule | None) -> None:
        line = syntax.line if syntax is not None else self.chain.line
        word = 0
        if syntax is not None:
            word = next((use.word for use in syntax.options if use.name == refused.option), syntax.target_word)
        self.sink.add(
            Diagnostic(
                code=refused.code,
                message=refused.message,
                span=bridge_word_span(self.dump.source, line, word),
                label=f"rule {self.number} of chain {self.chain.name}, table {self.table}",
                hints=(refused.hint,) if refused.hint else (),
            )
        )
