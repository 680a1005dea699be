"""The firewall commands of a shell script, or of one shell command, as words. Nothing is ever run.

    IPT=/sbin/iptables
    $IPT -A INPUT -p tcp --dport 22 -j ACCEPT    ->    ScriptCommand("iptables", (-A, INPUT, ...), ...)

Commands at the top level are read in order, variables that were set from plain text put in, and so are the commands of
a `for` over words that are known, once for each. A firewall command whose words, or whose turn, only a running shell
could know is an error at its place: in another loop, behind a test, with `$(...)`.
All other commands are listed as what they are.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fwtrans.parsers.shell_changes import changed_names
from fwtrans.parsers.shell_emptying import makes_no_rule
from fwtrans.parsers.shell_expand import Unreadable, Variables, expand
from fwtrans.parsers.shell_flow import Turn
from fwtrans.parsers.shell_handed import handed_functions
from fwtrans.parsers.shell_lists import with_arrays
from fwtrans.parsers.shell_outline import FUNCTION, outline
from fwtrans.parsers.shell_programs import (
    Call,
    Idiom,
    asks,
    find_call,
    firewall_program,
    idiom,
    mentions_firewall,
    restores_sets,
    runs_what_it_reads,
    script_called,
    speaks_of_firewall,
)
from fwtrans.parsers.shell_restored import restored_calls
from fwtrans.parsers.shell_start import assigns
from fwtrans.parsers.shell_state import Shell
from fwtrans.parsers.shell_tests import status_of
from fwtrans.parsers.shell_words import Operator, Passage, RawWord, ShellWord, tokens, whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fwtrans.diagnostics import DiagnosticSink
    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_words import Token
    from fwtrans.source import SourceFile

_ALIAS = re.compile(r"\balias\s+(?:-\S+\s+)*['\"]?([\w.-]+)=")
_DECLARING = frozenset({"export", "readonly", "local", "declare", "typeset"})
_ENDS_ON_FAILURE = re.compile(r"#![^\n]*sh[ \t]+-[A-Za-z]*e")
# Programs that only show their words, or compare them: a function's name among them is no call of it.
_SPEAKING = frozenset({"echo", "printf", "logger", "test", "[", "[[", ":", "exit", "return", "unset", "set", "shift"})
_RUN_IT = "run the script where it belongs and give fwtrans what `iptables-save` and `ipset save` print there"


class ScriptCommand(NamedTuple):
    """One command. `program` is iptables, ip6tables, ipset, ebtables or arptables, or the name of any other program.

    `words` are the words behind the program, `place` is the program's own word, and `position` how many words and
    operators stand in front of it on its line, so that a word's number in the line can be told (-1 where the line is one
    of `iptables-restore`, which names no program and stands below its `table`). `phase` is the key of an option of
    interfaces(5). `may_fail`: the writer reckons with it (`|| true`, messages thrown away). `only_if_absent`: it came
    from `iptables -C RULE || iptables -A RULE`, so it adds the rule unless there is one like it.
    """

    program: str
    words: tuple[ShellWord, ...]
    place: ShellWord
    source: SourceFile
    phase: str = ""
    may_fail: bool = False
    only_if_absent: bool = False
    position: int = 0
    table: str = "filter"

    @property
    def is_firewall(self) -> bool:
        """Tell whether the command belongs to iptables, ipset and their kin."""
        return firewall_program(self.program) == self.program


def read_script(source: SourceFile, sink: DiagnosticSink) -> tuple[ScriptCommand, ...]:
    """Return the commands of a script that run when all goes well, in order."""
    return read_commands(whole_file(source), sink, Variables())


def read_commands(
    passage: Passage, sink: DiagnosticSink, variables: Variables, option: ShellWord | None = None
) -> tuple[ScriptCommand, ...]:
    """Return the commands of a stretch of shell text. `variables` are those that are set before it begins.

    `option` is the word of interfaces(5) that stands in front of the text and says when it is run.
    """
    return _Run(passage, sink, variables, option).commands()


@dataclass(slots=True)
class _Run(Shell):
    """One text: what its simple commands come to."""

    starts: tuple[int, ...] = ()
    line_starts: tuple[int, ...] = ()
    handed: dict[str, frozenset[str] | None] = field(default_factory=dict)
    found: list[ScriptCommand] = field(default_factory=list)

    def commands(self) -> tuple[ScriptCommand, ...]:
        found = with_arrays(tuple(tokens(self.passage)))
        self.starts = tuple(token.start for token in found)
        self.line_starts = tuple(_line_starts(found))
        read = outline(found)
        if read.unclosed is not None and mentions_firewall(self.passage.text):
            opening, start = read.unclosed.text[:1], read.unclosed.start
            is_quote = opening in {'"', "'", "`"}
            name = opening if is_quote else read.unclosed.text.split("\n", 1)[0][:20]
            self.complain("FWT108" if is_quote else "FWT132", f"`{name}` is not closed", start, start + 1)
            return ()
        for name, start in changed_names(found, self.passage.text):
            self.variables.forget(name, f"line {self.line(start)} changes it in a way that is not read", for_good=True)
        for name, start in read.functions:
            if firewall_program(name):
                message = f"`{name}` is a function of this script, which may do anything"
                self.complain("FWT132", message, start, start + len(name), hint=_RUN_IT)
        names = "|".join(re.escape(name) for name, _ in read.functions if name)
        self.names = re.compile(rf"(?<![\w-])(?:{names})(?![\w-])") if names else None
        functions = {name for name, _ in read.functions}
        self.variables.redefined |= functions.union(_ALIAS.findall(self.passage.text))
        self.written = read.commands
        self.ends_on_failure = _ENDS_ON_FAILURE.match(self.passage.text) is not None
        self.take_for_started(read.commands)
        self.all(read.commands)
        self.finish()
        return tuple(self.found)

    def one(self, command: SimpleCommand) -> None:
        """Run one simple command, or, inside of brackets, look at one of which nobody knows whether it runs."""
        self.turn = self.turn_of(command.before)
        if command.loop_variable:
            self.variables.forget(command.loop_variable, "a loop sets it")
        elif command.is_end or not command.words:
            self.status = None
        else:
            self._words(command)
            self.end_of_failure(command)
            words = [word for word in command.words if not assigns(word)]
            if (
                len(words) > 1
                and words[0].bare == "exec"
                and command.before != "|"
                and command.after not in {"&", "|", "|&"}
            ):
                self.end("exec", self.line(words[0].start), command, failure=False)

    def has_rules(self, programs: set[str]) -> bool:
        """Tell whether rules of one of these programs may have been made so far; in interfaces(5) nobody can say."""
        earlier = (command for command in self.found if command.program in programs)
        return self.option is not None or not all(makes_no_rule([w.value for w in each.words]) for each in earlier)

    # --- one command ---

    def _words(self, command: SimpleCommand) -> None:
        words = list(command.words)
        assignments: list[RawWord] = []
        while words and assigns(words[0]):
            assignments.append(words.pop(0))
        if not words:
            self.mention(assignments, everything=False)
            for word in assignments:
                self.assign(word, command)
            self.settle(succeeds=not command.negated)
            return
        call = find_call(words, self.variables, self.passage)
        if call is None:
            self._unreadable_program(words)
        elif call.place.value in self.functions and call.offset == words[0].start:
            self.mention(words[1:], everything=False)
            self.call_function(self.functions[call.place.value], call, command)
        elif call.program in _DECLARING:
            self.mention(words[1:], everything=False)
            self.declare_all(call.program, words[1:], command)
            self.settle(succeeds=not command.negated)
        elif call.is_firewall:
            self._firewall(call, command)
        else:
            self._other(call, words, command)

    def _unreadable_program(self, words: list[RawWord]) -> None:
        """A program that only the shell knows: an error where the words behind it look like a firewall's."""
        self.settle(succeeds=None)
        program = self.passage.text[words[0].start : words[0].end]
        if program not in self.handed:
            self.handed[program] = handed_functions(words[0], self.written, self.functions, self.passage.text)
        handed = self.handed[program]
        self.mentioned.update(self.functions if handed is None else handed)
        if not speaks_of_firewall(words, self.passage):
            return
        try:
            expand(words[0], self.variables, self.passage)
        except Unreadable as problem:
            self._refuse(problem)
        else:
            place = self._place(words[0])
            self._refuse(Unreadable("FWT132", "the program of this command cannot be told", place))

    def _firewall(self, call: Call, command: SimpleCommand) -> None:
        together = idiom(self.previous, self.previous_negated, command.before, call)
        self.previous, self.previous_negated = call, command.negated
        if asks(call):
            self.settle(succeeds=None)
            return
        if self.turn == Turn.NEVER and not (command.inside or together or self.assumed):
            self.skip((command,), f"what stands before `{command.before}` is known")
            return
        problem = None if together else self._not_its_turn(call, command)
        problem = problem or self._wrong_place(call, command) or call.problem
        if problem is not None:
            self.settle(succeeds=True, assumed=True)
            self._refuse(problem)
            return
        if together:
            self.turn = Turn.SURE
        self.settle(succeeds=True, assumed=True)
        if restores_sets(call):
            self._loader(call, command)
            return
        may_fail = command.after == "||" or _throws_messages_away(command)
        only_if_absent = together is Idiom.ADD_IF_ABSENT
        self.found.append(self._made(call, may_fail=may_fail, only_if_absent=only_if_absent))

    def _made(self, call: Call, *, may_fail: bool = False, only_if_absent: bool = False) -> ScriptCommand:
        phase = self.option.value if self.option is not None else ""
        index = bisect_left(self.starts, call.offset)
        position = index - self.line_starts[index] + (self.option is not None)
        return ScriptCommand(
            call.program, call.words, call.place, self.passage.source, phase, may_fail, only_if_absent, position
        )

    def _not_its_turn(self, call: Call, command: SimpleCommand) -> Unreadable | None:
        """Return why nobody can say whether a firewall command is run, for what stands before it on its line."""
        if self.turn != Turn.SURE:
            reason = f"{call.program} is called only if what stands before `{command.before}` says so"
            return Unreadable("FWT135", reason, call.place, _RUN_IT)
        return None

    def _wrong_place(self, call: Call, command: SimpleCommand) -> Unreadable | None:
        """Return why nobody can say whether, or when, a firewall command is run, for what stands around it."""
        name, hint = call.program, _RUN_IT
        if command.inside:
            word, offset = command.inside[0][:2]
            around = "a function" if word == FUNCTION else "brackets" if word in "({" else f"`{word}`"
            reason = f"{name} is called inside of {around}, which begins in line {self.line(offset)}"
            if offset in self.reasons_of_loops:
                reason += f"; {self.reasons_of_loops[offset]}"
        elif self.left_at is not None:
            reason, hint = (
                f"{name} is called behind the `{self.left_by}` of line {self.left_at}",
                "take out what is never run",
            )
        elif self.may_have_left_at is not None:
            reason = f"{name} is called only if the script has not ended in line {self.may_have_left_at}"
        elif self.may_have_returned_at is not None:
            reason = f"{name} is called only if its function has not returned in line {self.may_have_returned_at}"
        elif command.after == "&":
            reason, hint = f"{name} is called in the background, at a time that is not known", "take the `&` out"
        elif command.negated:
            reason, hint = f"`!` stands before {name}", "take the `!` out"
        else:
            return None
        return Unreadable("FWT135", reason, call.place, hint)

    def _other(self, call: Call, words: list[RawWord], command: SimpleCommand) -> None:
        if call.loads:
            if not self._restores(call, command):
                self.settle(succeeds=True)
                self._loader(call, command)
            return
        is_fed = command.before == "|" or any("<" in operator.text for operator, _ in command.redirections)
        if call.hides_firewall or (is_fed and runs_what_it_reads(call)):
            self.settle(succeeds=None)
            message = f"`{call.program}` calls a firewall program in a way that is not read"
            self._refuse(Unreadable("FWT132", message, call.place, "call it directly, or " + _RUN_IT))
            return
        if script := script_called(call):
            message = f"the commands of `{script}` are not read with those of this script"
            hint = "where it makes rules, put them into this script, or " + _RUN_IT
            self.complain("FWT136", message, call.place.start, call.place.end, line=call.place.line, hint=hint)
        self.mention(words, everything=call.program not in _SPEAKING)
        self.change_shell(call, words, command)
        status = status_of(command, self.variables, self.passage) if call.offset == words[0].start else None
        if not self.returned:
            self.settle(succeeds=None if status is None else status is not command.negated)
        if not command.inside and self.turn == Turn.SURE and self.left_at is None:
            self.found.append(self._made(call))

    def _restores(self, call: Call, command: SimpleCommand) -> bool:
        """Carry out `iptables-restore` on rules that stand in the script; False where they do not."""
        try:
            made = restored_calls(call, command, self.written, self.variables, self.passage)
        except Unreadable:
            return False
        if made is None or self.option is not None:
            return False
        if self.turn == Turn.NEVER and not (command.inside or self.assumed):
            self.skip((command,), f"what stands before `{command.before}` is known")
            return True
        problem = self._not_its_turn(call, command) or self._wrong_place(call, command)
        self.settle(succeeds=True, assumed=True)
        if problem is not None:
            self._refuse(problem)
            return True
        for each in made:
            place = each.words[0] if each.words else call.place
            self.found.append(
                ScriptCommand(
                    each.program,
                    each.words,
                    place,
                    self.passage.source,
                    may_fail=each.may_fail,
                    position=each.before,
                    table=each.table,
                )
            )
        return True

    def _loader(self, call: Call, command: SimpleCommand) -> None:
        """Say where the rules come from that a command loads."""
        files = [
            word for operator, word in command.redirections if operator.text.endswith("<") and "<<" not in operator.text
        ]
        hint = "give that file to fwtrans as an input of its own"
        what = "from elsewhere"
        if files and files[0] is not None:
            what = f"from `{self.passage.text[files[0].start : files[0].end]}`"
        elif any("<<" in operator.text for operator, _ in command.redirections):
            what, hint = "from the lines below it", "put those lines into a file of their own and give it to fwtrans"
        elif command.before == "|":
            what, hint = "from a pipe", _RUN_IT
        elif call.words and not call.words[-1].value.startswith("-") and call.program.endswith("-restore"):
            what = f"from `{call.words[-1].value}`"
        message = f"`{call.program}` loads rules {what}"
        self.complain("FWT134", message, call.place.start, call.place.end, line=call.place.line, hint=hint)

    # --- places and messages ---

    def _place(self, word: RawWord) -> ShellWord:
        return self.passage.place(word.start, word.end, self.passage.text[word.start : word.end])

    def _refuse(self, problem: Unreadable) -> None:
        place = problem.place
        self.complain(problem.code, problem.message, place.start, place.end, line=place.line, hint=problem.hint)


def _line_starts(found: tuple[Token, ...]) -> Iterator[int]:
    """Yield for each token the number of the first one of its line."""
    first = 0
    for index, token in enumerate(found):
        yield first
        if isinstance(token, Operator) and token.text == "\n":
            first = index + 1


def _throws_messages_away(command: SimpleCommand) -> bool:
    return any(
        operator.text in {"2>", "2>>", "&>", ">&"} and word is not None and word.bare == "/dev/null"
        for operator, word in command.redirections
    )
