"""What commands change in the shell that runs them: variables, parameters and functions, and whether it goes on."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fwtrans.parsers.shell_changes import evaluated_name, puts_back
from fwtrans.parsers.shell_flow import Flow, Turn
from fwtrans.parsers.shell_outline import FUNCTION
from fwtrans.parsers.shell_programs import only_makes_functions
from fwtrans.parsers.shell_start import assigns
from fwtrans.parsers.shell_words import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fwtrans.parsers.shell_outline import SimpleCommand
    from fwtrans.parsers.shell_programs import Call
    from fwtrans.parsers.shell_words import RawWord

_LOCAL = frozenset({"local", "declare", "typeset"})
_USED = re.compile(r"\$\{?#?([A-Za-z_][A-Za-z0-9_]*)")
_DECLARED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?=)?")
_LEAVING = frozenset({"exit", "return"})


@dataclass(slots=True)
class Shell(Flow):
    """A text's flow, with what its commands change in the shell."""

    ends_on_failure: bool = False
    written: tuple[SimpleCommand, ...] = ()

    def end_of_failure(self, command: SimpleCommand) -> None:
        """Take note of a command that fails where `set -e` ends the script for it."""
        fails = self.status is False and self.turn == Turn.SURE and not command.negated
        if self.ends_on_failure and fails and command.after not in {"&&", "||"}:
            self.may_have_left_at = self.may_have_left_at or self.line(command.words[0].start)

    def change_shell(self, call: Call, words: list[RawWord], command: SimpleCommand) -> None:
        """Carry out a command of the shell's own, as far as it changes anything that is known here."""
        if call.program in _LEAVING:
            self._leave(call, command)
        elif call.program in {"shift", "set"}:
            self._change_parameters(call, command)
        elif call.program in {"unset", "read", "getopts"}:
            for word in call.words:
                self.variables.forget(word.value, f"`{call.program}` changes it")
                if call.program == "unset" and word.value in self.functions:
                    self._unset_function(word.value, command)
        elif call.program == "shopt" and any("nocasematch" in word.value for word in call.words):
            self.variables.caseless = True
        elif call.program == "eval" and (name := evaluated_name(words, self.variables)):
            self.variables.forget(name, f"`eval` in line {self.line(words[0].start)} sets it", for_good=True)
        elif call.program == "eval" and any(piece.kind is not Kind.TEXT for word in words for piece in word.pieces):
            self.mentioned.update(self.functions)
            self.variables.forget_all(f"`eval` in line {self.line(words[0].start)} may have changed it")
        elif call.program in {".", "source", "eval"} and not only_makes_functions(call):
            self.variables.forget_all(f"`{call.program}` in line {self.line(words[0].start)} may have changed it")

    def _unset_function(self, name: str, command: SimpleCommand) -> None:
        """Forget a function; where nobody knows whether it is gone, its calls are not carried out."""
        self.mentioned.add(name)
        if not command.inside and self.turn == Turn.SURE and not _is_apart(command):
            del self.functions[name]

    def _change_parameters(self, call: Call, command: SimpleCommand) -> None:
        """Carry out `shift`, `set -e` and `set -- a b`."""
        if call.program == "set":
            options = list(itertools.takewhile("--".__ne__, (word.value for word in call.words)))
            if any(value[:1] == "-" and "e" in value[1:] for value in options) or "errexit" in options:
                self.ends_on_failure = True
            elif "+e" in options and not command.inside and self.turn == Turn.SURE:
                self.ends_on_failure = False
        parameters, values = self.variables.parameters, [word.value for word in call.words]
        self.variables.parameters = None
        if call.problem or command.inside or self.turn != Turn.SURE or _is_apart(command):
            if call.program == "set" and "--" not in values and all(value[:1] in {"-", "+"} for value in values):
                self.variables.parameters = parameters
        elif call.program == "set":
            behind = values.index("--") + 1 if "--" in values else None
            only_options = all(value[:1] in {"-", "+"} or value == "pipefail" for value in values)
            self.variables.parameters = (
                tuple(values[behind:]) if behind is not None else parameters if only_options else None
            )
        elif parameters is not None and (not values or values[0].isdigit()):
            count = int(values[0]) if values else 1
            if count <= len(parameters):
                self.variables.parameters = parameters[count:]
            else:  # dash ends there, bash goes on
                self.may_have_left_at = self.may_have_left_at or call.place.line

    def declare_all(self, program: str, words: Sequence[RawWord], command: SimpleCommand) -> None:
        """Set what several words of a declaration say. The shell has read all of them before it sets the first."""
        is_global = any(word.bare is not None and word.bare[:1] == "-" and "g" in word.bare for word in words)
        before: set[str] = set()
        for word in words:
            text = self.passage.text[word.start : word.end]
            self.declare("export" if is_global else program, word, command)
            name = text.partition("=")[0].removesuffix("+")
            if before.intersection(_USED.findall(text)):
                self.variables.forget(name, "it is set from a variable that the same command sets")
            before.add(name)

    def declare(self, program: str, word: RawWord, command: SimpleCommand) -> None:
        """Set what `local X=1` or `export X=1` sets; a function's own variables are put back at its end."""
        found = _DECLARED.match(word.bare or word.pieces[0].text)
        if found is not None and self.frames and program in _LOCAL:
            if word.elements is not None or found[1] in self.variables.arrays:
                self.variables.forget(found[1], "it is an array of a function's own", for_good=True)
                return
            self.keep_for_caller(found[1])
            if not found[2]:
                self.variables.forget(found[1], "it is declared without a value")
        self.assign(word, command)

    def _leave(self, call: Call, command: SimpleCommand) -> None:
        """Carry out `return`, or take note of `exit`."""
        failure = bool(call.words) and call.words[0].value not in {"", "0"}
        if call.program == "exit" or not self.frames:
            self.end(call.program, call.place.line, command, failure=failure)
        elif command.inside or self.turn == Turn.UNKNOWN:
            if not any(opener.word == FUNCTION for opener in command.inside):
                self.may_have_returned_at = self.may_have_returned_at or call.place.line
        elif self.turn == Turn.SURE:
            self.returned = True
            if call.words:
                self.status = None if call.problem else not failure

    def end(self, word: str, line: int, command: SimpleCommand, *, failure: bool) -> None:
        """Take note of the script's end. Where it says failure and a test leads to it, it is taken not to have failed."""
        inside_function = any(opener.word == FUNCTION for opener in command.inside)
        if command.inside or self.turn == Turn.UNKNOWN:
            if not failure and (not inside_function or (self.counts_exits and word != "return")):
                self.may_have_left_at = self.may_have_left_at or line
        elif self.turn == Turn.SURE and self.left_at is None:
            self.left_at, self.left_by = line, word

    def assign(self, word: RawWord, command: SimpleCommand) -> None:
        """Set a variable to what one word says, or forget it where nobody knows whether, or to what, it is set."""
        first = word.pieces[0]
        found = assigns(word)
        if found is None:
            return
        name = found[1]
        if command.inside:
            if name == "IFS" and puts_back(name, command, self.written):
                return
            inner = command.inside[0]
            within = "a function" if inner.word == FUNCTION else f"`{inner.word}`"
            reason = f"it is set inside of {within}, line {self.line(word.start)}"
            self.variables.forget(name, reason, for_good=inner.word == FUNCTION)
        elif self.turn != Turn.SURE or self.may_have_returned_at is not None or _is_apart(command):
            self.variables.forget(name, f"line {self.line(word.start)} sets it only sometimes")
        else:
            if word.elements is not None:
                self.variables.assign_array(name, word.elements, self.passage, appended=bool(found[2]))
                return
            rest = first._replace(text=first.text[found.end() :])
            value_word = word._replace(pieces=(rest, *word.pieces[1:]))
            self.variables.assign(name, value_word, self.passage, appended=bool(found[2]))


def _is_apart(command: SimpleCommand) -> bool:
    """Tell whether a shell of its own runs a command: what it changes is gone with it (but bash may be told otherwise)."""
    return command.before in {"|", "|&"} or command.after in {"|", "|&", "&"}
