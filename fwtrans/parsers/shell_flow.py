"""Which commands of a script surely run, in which order and with which parameters: lists, branches, loops, functions.

What is not sure is handed on with the brackets that stand around it, so that a firewall command in it can be refused. What
surely does not run is told where it would call a firewall program (FWT137).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.diagnostics import Diagnostic
from fwtrans.parsers.shell_constructs import construct_at
from fwtrans.parsers.shell_emptying import goes_over_tables, only_empties
from fwtrans.parsers.shell_expand import Unreadable, Variables, expand
from fwtrans.parsers.shell_loops import MOST_COMMANDS, loop_at
from fwtrans.parsers.shell_outline import FUNCTION, Opener
from fwtrans.parsers.shell_programs import asks, find_call, idiom, script_called, speaks_of_firewall
from fwtrans.parsers.shell_start import asks_for_start, assigns
from fwtrans.parsers.shell_tests import truth
from fwtrans.parsers.shell_words import Kind, Passage
from fwtrans.source import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.parsers.shell_constructs import Construct
    from fwtrans.parsers.shell_loops import Loop
    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_programs import Call
    from fwtrans.parsers.shell_words import RawWord, ShellWord

_MOST_CALLS = 20
_SUBSTITUTION = re.compile(r"\$\([^)\n]*|`[^`\n]*")
_ONLY_SPEAKS = frozenset({"echo", "printf", "logger", ":"})


class Turn:
    """Whether a command has its turn: surely, surely not, or nobody knows."""

    SURE = "sure"
    NEVER = "never"
    UNKNOWN = "unknown"


class Function(NamedTuple):
    """A function's commands, and where it is defined."""

    name: str
    body: tuple[SimpleCommand, ...]
    opener: Opener


@dataclass(slots=True)
class Flow(ABC):
    """One text, command after command. `status` is that of the list so far, None where it is not known."""

    passage: Passage
    sink: DiagnosticSink
    variables: Variables
    option: ShellWord | None
    status: bool | None = True
    assumed: bool = False
    previous: Call | None = None
    previous_negated: bool = False
    left_at: int | None = None
    left_by: str = "exit"
    may_have_left_at: int | None = None
    turn: str = Turn.SURE
    made: int = 0
    reasons_of_loops: dict[int, str] = field(default_factory=dict)
    told: set[tuple[str, int, int]] = field(default_factory=set)
    functions: dict[str, Function] = field(default_factory=dict)
    defined: list[Function] = field(default_factory=list)
    called: set[int] = field(default_factory=set)
    looked_at: set[int] = field(default_factory=set)
    names: re.Pattern[str] | None = None
    mentioned: set[str] = field(default_factory=set)
    frames: list[dict[str, str | None]] = field(default_factory=list)
    returned: bool = False
    may_have_returned_at: int | None = None
    counts_exits: bool = False

    @abstractmethod
    def one(self, command: SimpleCommand) -> None:
        """Run one simple command, or, inside of brackets, look at one of which nobody knows whether it runs."""

    @abstractmethod
    def has_rules(self, programs: set[str]) -> bool:
        """Tell whether rules of one of these programs may have been made so far."""

    # --- commands in order ---

    def all(self, commands: Sequence[SimpleCommand]) -> None:
        """Run commands in order, and what stands in brackets as far as it is known what becomes of it."""
        at = 0
        while at < len(commands) and not self.returned:
            construct = construct_at(commands, at)
            if construct is None:
                self.one(commands[at])
                at += 1
                continue
            if not self._carried_out(construct, commands, at):
                for command in commands[at : construct.behind]:
                    self._forget_functions(command)
                    self.one(command)
            at = construct.behind

    def _carried_out(self, construct: Construct, commands: Sequence[SimpleCommand], at: int) -> bool:
        """Run a construct; False where nobody knows what becomes of it."""
        opener = construct.opener
        if opener.word == FUNCTION:
            return self._define(construct)
        if opener.word == "for":
            return self._empties_tables(construct) or self._for(loop_at(commands, at), opener.offset)
        if opener.word == "while":
            return self._empties_tables(construct, commands[at - 1] if at else None)
        way = {"if": self._if, "case": self._case, "{": self._group}.get(opener.word)
        if way is None or not construct.is_alone or self._reads(construct.end):
            return False
        self.turn = self.turn_of(opener.before)
        if self.turn == Turn.NEVER and not self.assumed:
            self.skip(_commands(construct), f"what stands before `{opener.before}` is known")
            return True
        return self.turn == Turn.SURE and way(construct)

    def turn_of(self, before: str) -> str:
        """Return whether what stands behind an operator has its turn."""
        if before == "|":
            return self.turn
        if before in {"&&", "||"}:
            if self.status is None:
                return Turn.UNKNOWN
            return Turn.SURE if self.status is (before == "&&") else Turn.NEVER
        self.previous = None
        return Turn.SURE

    def settle(self, *, succeeds: bool | None, assumed: bool = False) -> None:
        """Keep what is known of the status of the list so far; `assumed` where a host may have seen it otherwise."""
        self.assumed = assumed
        if self.turn == Turn.SURE:
            self.status = succeeds
        elif self.turn == Turn.UNKNOWN:
            self.status = None

    @staticmethod
    def _reads(command: SimpleCommand) -> bool:
        return any("<" in operator.text for operator, _ in command.redirections)

    # --- loops and branches ---

    def _empties_tables(self, construct: Construct, piped: SimpleCommand | None = None) -> bool:
        """Pass over a loop that empties the tables that the kernel has, where no rule has been made yet."""
        body = _commands(construct) if goes_over_tables(construct, piped, self.passage.text) else ()
        calls = {command.words[0].start: self._call_of(command) for command in body if command.words}
        programs = {call.program for call in calls.values() if call is not None and call.is_firewall}
        if not programs or self.has_rules(programs) or not all(map(only_empties, calls.values())):
            return False
        for command in _commands(construct):
            call = calls.get(command.words[0].start) if command.words else None
            if call is None or not call.is_firewall:
                self.one(replace(command, inside=(construct.opener, *command.inside)))
        self.status = None
        return True

    def _for(self, loop: Loop | None, offset: int) -> bool:
        values = self._values(loop, offset) if loop is not None else None
        if loop is None or values is None or self.may_have_returned_at is not None:
            return False
        for value in values:
            if self.returned:
                break
            self.variables.set(loop.variable, value)
            self.all(loop.body)
        self.status = None
        return True

    def _values(self, loop: Loop, offset: int) -> tuple[str, ...] | None:
        """Return what the variable of a loop is set to in turn; None if nobody can say, and then why."""
        try:
            words = [word for raw in loop.words for word in expand(raw, self.variables, self.passage)]
        except Unreadable as problem:
            self.reasons_of_loops[offset] = problem.message
            return None
        self.made += len(words) * len(loop.body)
        if loop.variable in self.variables.lost or self.made > MOST_COMMANDS:
            return None
        return tuple(word.value for word in words)

    def _group(self, construct: Construct) -> bool:
        self.all(construct.parts.get(0, ()))
        return True

    def _if(self, construct: Construct) -> bool:
        kinds, parts = construct.opener.kinds, construct.parts
        asked = 0
        while True:
            found = truth(parts.get(asked, ()), self.variables, self.passage)
            if found is None:
                return asked == 0 and self._as_list(construct)
            chosen = asked + 1 if found else asked + 2
            if found or kinds[chosen - 1 : chosen] != ("elif",):
                break
            asked = chosen
        self._branch(construct, chosen, f"what the `if` of line {self.line(construct.opener.offset)} asks is known")
        return True

    def _branch(self, construct: Construct, chosen: int, why: str) -> None:
        """Run one part of a construct, and tell what the others would have done."""
        for part, body in construct.parts.items():
            if part != chosen:
                self.skip(body, why)
        self.status = True
        self.all(construct.parts.get(chosen, ()))

    def _as_list(self, construct: Construct) -> bool:
        """Run `if ! iptables -C RULE; then iptables -A RULE; fi` as `! iptables -C RULE && iptables -A RULE`."""
        if construct.opener.kinds != ("then",) or len(asked := construct.parts.get(0, ())) != 1:
            return False
        body = construct.parts.get(1, ())
        rules = [command for command in body if not (command.words and command.words[0].bare in _ONLY_SPEAKS)]
        if len(rules) != 1 or any(command.before or command.inside for command in (*body, *asked)):
            return False
        calls = [self._call_of(command) for command in (asked[0], rules[0])]
        first, second = calls
        if first is None or second is None or not (first.is_firewall and second.is_firewall):
            return False
        if idiom(first, asked[0].negated, "&&", second) is None:
            return False
        self.one(replace(asked[0], before="", after="&&"))
        self.one(replace(rules[0], before="&&"))
        self.status = None
        return True

    def _case(self, construct: Construct) -> bool:
        opener = construct.opener
        if opener.falls or len(opener.subject) != 1 or self.variables.caseless:
            return False
        try:
            asked = "".join(
                found.value for found in expand(opener.subject[0], self.variables, self.passage, split=False)
            )
            chosen = next(
                (part for part, words in enumerate(opener.patterns, 1) if self._matches(asked, words)), len(opener.patterns) + 1
            )  # fmt: skip
        except Unreadable:
            return False
        self._branch(
            construct, chosen, f"`{asked}` leads to another part of the `case` of line {self.line(opener.offset)}"
        )
        return True

    def _matches(self, value: str, words: Iterable[RawWord]) -> bool:
        return any(fnmatchcase(value, self._pattern(word)) for word in words)

    def _pattern(self, word: RawWord) -> str:
        """Return a pattern of a `case` as fnmatch reads it; raise Unreadable where it is not known."""
        found = ""
        for piece in word.pieces:
            text = piece.text
            if piece.kind is not Kind.TEXT:
                alone = word._replace(pieces=(piece,))
                text = "".join(field.value for field in expand(alone, self.variables, self.passage, split=False))
            if piece.kind is Kind.TEXT and not piece.quoted:
                if "[^" in text or "[:" in text or "[." in text or "[=" in text:
                    raise Unreadable(
                        "FWT132", "a pattern that is not read", self.passage.place(word.start, word.end, "")
                    )
                found += text
            elif (not piece.quoted and re.search(r"[*?\[\\]", text)) or found.rfind("[") > found.rfind("]"):
                raise Unreadable("FWT132", "a pattern that is not read", self.passage.place(word.start, word.end, ""))
            else:
                found += re.sub(r"([*?\[])", r"[\1]", text)
        return found

    # --- functions ---

    def _define(self, construct: Construct) -> bool:
        name = construct.opener.name
        if not name or self._reads(construct.end):
            return False
        found = Function(name, construct.parts.get(0, ()), construct.opener)
        self.functions[name] = found
        self.defined.append(found)
        return True

    def _forget_functions(self, command: SimpleCommand) -> None:
        """Look at functions that are defined only perhaps: from here on nobody knows what their names call."""
        for opener in command.inside:
            if opener.word == FUNCTION and opener.name in self.functions:
                self._look_at(self.functions.pop(opener.name))

    def call_function(self, function: Function, call: Call, command: SimpleCommand) -> None:
        """Run a function's commands, or only look at them where it is not sure whether and how it is called."""
        if self.turn == Turn.NEVER and not self.assumed:
            self.skip((command,), f"what stands before `{command.before}` is known")
            return
        sets_first = call.offset != command.words[0].start  # `X=1 f`: whether X stays set, shells do not agree
        is_sure = self.turn == Turn.SURE and not (command.inside or command.negated or call.problem or sets_first)
        is_alone = command.before != "|" and command.after not in {"&", "|", "|&"} and not self._reads(command)
        self.made += len(function.body)
        if not (is_sure and is_alone) or len(self.frames) >= _MOST_CALLS or self.made > MOST_COMMANDS:
            counted, self.counts_exits = self.counts_exits, True
            self._look_at(function)
            self.counts_exits = counted
            self.settle(succeeds=None)
            return
        self.called.add(function.opener.offset)
        before = self.variables.parameters, self.may_have_returned_at
        self.variables.parameters = tuple(word.value for word in call.words)
        self.frames.append({})
        self.status = True
        self.all(function.body)
        self.variables.parameters = before[0]
        for name, value in self.frames.pop().items():
            if value is None:
                self.variables.forget(name, f"it was not known before `{function.name}` was called")
            else:
                self.variables.set(name, value)
        if self.may_have_returned_at != before[1]:
            self.status = None
        self.returned, self.may_have_returned_at = False, before[1]
        self.previous, self.turn = None, Turn.SURE

    def _look_at(self, function: Function) -> None:
        """Look at the commands of a function of which nobody knows whether they run."""
        self.called.add(function.opener.offset)
        if function.opener.offset in self.looked_at:  # it calls itself, or another one has called it: that says no more
            return
        outermost = not self.looked_at
        self.looked_at.add(function.opener.offset)
        turn, status, returned = self.turn, self.status, self.returned
        parameters, self.variables.parameters = self.variables.parameters, None
        self.returned = False
        for command in function.body:
            self.one(replace(command, inside=(function.opener, *command.inside)))
        self.turn, self.status, self.returned = turn, status, returned
        self.variables.parameters = parameters
        if outermost:
            self.looked_at.clear()

    def keep_for_caller(self, name: str) -> None:
        """Keep what a variable is outside of the function that makes it its own."""
        if self.frames and name not in self.frames[-1]:
            self.frames[-1][name] = self.variables.values.get(name)

    def mention(self, words: Iterable[RawWord], *, everything: bool) -> None:
        """Take note of functions' names in words: some other program may call them, or `$(...)` does."""
        if self.names is None:
            return
        for word in words:
            text = self.passage.text[word.start : word.end]
            if everything or any(piece.kind is Kind.COMPUTED for piece in word.pieces):
                self.mentioned.update(self.names.findall(text))

    def finish(self) -> None:
        """Tell of functions with firewall commands that nothing calls; look at those that something may call."""
        if self.names is not None:
            for substitution in _SUBSTITUTION.finditer(self.passage.text):  # in here-documents, too
                self.mentioned.update(self.names.findall(substitution[0]))
        at = 0
        while at < len(self.defined):
            function = self.defined[at]
            at += 1
            if function.name in self.mentioned:  # also one that was called: this may be another time
                self._look_at(function)
            elif function.opener.offset not in self.called:
                self.skip(function.body, f"nothing calls the function `{function.name}`")

    # --- what does not run ---

    def skip(self, commands: Iterable[SimpleCommand], why: str) -> None:
        """Tell of the first of these commands that has to do with firewall rules that it does not run."""
        for command in commands:
            call = self._call_of(command)
            if self._touches(command, set()):
                word = command.words[0]
                name = call.program if call is not None else self.passage.text[word.start : word.end]
                self.complain("FWT137", f"`{name}` is not called: {why}", word.start, word.end)
                return

    def _touches(self, command: SimpleCommand, seen: set[str]) -> bool:
        """Tell whether a command has to do with firewall rules, a function's commands with it."""
        call = self._call_of(command)
        if call is None:
            return speaks_of_firewall(command.words, self.passage)
        function = self.functions.get(call.place.value)
        if function is None:
            return (
                (call.is_firewall and not asks(call)) or call.loads or call.hides_firewall or bool(script_called(call))
            )
        if function.name in seen:
            return False
        seen.add(function.name)
        return any(self._touches(each, seen) for each in function.body)

    def _call_of(self, command: SimpleCommand) -> Call | None:
        words = [word for number, word in enumerate(command.words) if number or not assigns(word)]
        return find_call(words, self.variables, self.passage) if words else None

    # --- how the script is called ---

    def take_for_started(self, commands: Sequence[SimpleCommand]) -> None:
        """Take a script that asks whether it is called with `start` for one that is, and say so."""
        word = asks_for_start(commands)
        if word is not None:
            self.variables.parameters = ("start",)
            message = (
                "this script is read as it runs with `start`; what it does when it is called otherwise is left out"
            )
            self.complain("FWT137", message, word.start, word.end)

    # --- places and messages ---

    def line(self, offset: int) -> int:
        """Return the line of an offset."""
        return self.passage.place(offset, offset + 1, "").line

    def complain(
        self, code: str, message: str, start: int, end: int, *, line: int | None = None, hint: str = ""
    ) -> None:
        """Report at offsets of the passage, or at columns of a line; once, however often a loop comes by."""
        if line is None:
            place = self.passage.place(start, end, "")
            line, start, end = place.line, place.start, place.end
        if (code, line, start) in self.told:
            return
        self.told.add((code, line, start))
        span = Span(self.passage.source, line, start, end)
        self.sink.add(Diagnostic(code=code, message=message, span=span, hints=(hint,) if hint else ()))


def _commands(construct: Construct) -> Iterator[SimpleCommand]:
    for body in construct.parts.values():
        yield from body
