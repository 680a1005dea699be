"""Fields under other names, everywhere in a table: for rules that move to a place where the same thing is called otherwise.

    bridge.port_in in {tap1}; iifname in {vmbr0}      as an iptables rule for bridged packets sees them
    iifname in {tap1}; ibrname in {vmbr0}             in a bridge table, with {port_in: iifname, iifname: ibrname}

All fields are renamed at once, so a name may be given away and taken in one call. It is safe where the packets that come
to the new place have in the new field what they had in the old one, which only the caller can know; values stay as they
are, so old and new must be of one kind and width.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.ir import effect as does
from fwtrans.ir.match import AnyOf, FieldTest, MemberTest, PureTest
from fwtrans.ir.stateful import StatefulFromMap, StatefulTest
from fwtrans.ir.verdict import Dispatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fwtrans.ir.fields import Field
    from fwtrans.ir.match import KeyPart
    from fwtrans.ir.rule import Rule, Step
    from fwtrans.ir.ruleset import Table


def rename_fields(table: Table, names: Mapping[Field, Field]) -> Table:
    """Return the table with fields renamed in tests, keys, writes and the declarations of sets and maps."""
    for old, new in names.items():
        if (old.kind, old.width) != (new.kind, new.width):
            message = f"{old.name} and {new.name} hold different kinds of values"
            raise ValueError(message)
    renaming = _Renaming(names)
    return replace(
        table,
        chains=tuple(replace(chain, rules=tuple(map(renaming.rule, chain.rules))) for chain in table.chains),
        sets=tuple(replace(item, fields=renaming.fields(item.fields)) for item in table.sets),
        maps=tuple(replace(item, fields=renaming.fields(item.fields)) for item in table.maps),
    )


class _Renaming:
    def __init__(self, names: Mapping[Field, Field]) -> None:
        self._names = names

    def fields(self, fields: tuple[Field, ...]) -> tuple[Field, ...]:
        return tuple(self._field(field) for field in fields)

    def rule(self, rule: Rule) -> Rule:
        steps = tuple(self._step(step) for step in rule.steps)
        verdict = rule.verdict
        if isinstance(verdict, Dispatch):
            verdict = replace(verdict, key=self._key(verdict.key))
        return replace(rule, steps=steps, verdict=verdict)

    def _field(self, field: Field) -> Field:
        return self._names.get(field, field)

    def _key(self, key: tuple[KeyPart, ...]) -> tuple[KeyPart, ...]:
        return tuple(part._replace(field=self._field(part.field)) for part in key)

    def _test(self, test: PureTest) -> PureTest:
        if isinstance(test, FieldTest):
            return FieldTest(self._field(test.field), test.values)
        if isinstance(test, MemberTest):
            return replace(test, key=self._key(test.key))
        if isinstance(test, AnyOf):
            return AnyOf(tuple(tuple(map(self._test, branch)) for branch in test.branches))
        return test

    def _step(self, step: Step) -> Step:
        if isinstance(step, PureTest):
            return self._test(step)
        if isinstance(step, (StatefulTest, StatefulFromMap, does.SetUpdate, does.Nat)):
            return replace(step, key=self._key(step.key))
        if isinstance(step, does.AssignFromMap):
            return replace(step, field=self._field(step.field), key=self._key(step.key))
        if isinstance(step, does.AssignFromTable):
            return replace(step, field=self._field(step.field))
        if isinstance(step, does.Assign):
            source = step.source
            if source is not None:
                source = replace(source, field=self._field(source.field))
            return replace(step, field=self._field(step.field), source=source)
        return step
