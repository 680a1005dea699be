"""Sorts the words of a line into terminals, by what each option takes. The letters of a value are never looked at.

What a word means depends on what stands before it: which extensions `-m`, `-j` and `-p` have loaded. That is a
`Context`. Contexts make a tree, grown as lines need it: a step from one to the next is a dictionary look-up, so sorting
a line costs about as much as splitting it. The sequence of steps is the line's *shape*; two lines of one shape differ
in literals alone, which is why shapes.py gives only the first of them to the grammar.

An option is looked up as iptables 1.8.9 does it: among the general ones first, then in the extension loaded last, and so
on back to the first (xtables_merge_options puts them in that order); an exact name wins over an abbreviation, and an
abbreviation counts if it is unambiguous (getopt_long). Only when all that fails, the match that `-p` names is loaded, and
only once (load_proto): so `--dport` is known behind `-p tcp`, not before it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fwtrans.parsers.iptables_save import general as g
from fwtrans.parsers.iptables_save import mistakes
from fwtrans.parsers.iptables_save.steps import (
    Context,
    Line,
    Loaded,
    Step,
    general_step,
    known_options,
    option_step,
    spellings,
    word_number,
)
from fwtrans.parsers.iptables_save.words import quoted

if TYPE_CHECKING:
    from fwtrans.parsers.iptables_save.options import OptionTable

MEMORY_LIMIT = 20_000
"""How many contexts and names are remembered before all is forgotten: a hostile file must not fill the memory."""

_NOT = Step(terminals=("NOT",), take=1, words=1, name="!")
_COUNTERS = Step(terminals=("COUNTERS",), take=1, words=1)
_SILENT = Step(terminals=(), take=1, words=1)
IGNORED = Step(terminals=(), take=1, words=1)
"""The line is meant for the other family (`-6` in a file for iptables-restore) and means nothing here."""

_FAMILY_OPTION = {"-4": "ip", "-6": "ip6"}


class Classifier:
    """Sorts lines of one family with one table of options. It may forget, but what it remembers never changes."""

    def __init__(self, options: OptionTable, family: str, *, in_file: bool, remember: bool = True) -> None:
        self.options = options
        self.family = family
        self._in_file = in_file
        self._remember = remember
        self._root = Context()
        self._variants: dict[tuple[Step, tuple[str, ...], int], Step] = {}
        self._remembered = 0
        self.hints_left = mistakes.MOST_HINTS

    def shape(self, words: list[str], raws: list[str] | None, skip: int = 0) -> tuple[Step, ...]:
        """Return the shape of a line, whose first `skip` words are the name of the command and what stands before.

        Words that say several things at once are taken apart in place: `--dport=22`, `-s10.0.0.0/8`, `-vL`.
        """
        if not self._remember or self._remembered > MEMORY_LIMIT:
            self._root, self._variants, self._remembered = Context(), {}, 0
        context = self._root
        steps = context.steps
        shape = [_SILENT] * skip
        index = skip
        if not skip and words[0][:1] == "[":
            shape.append(_COUNTERS)
            index += 1
        try:
            while index < len(words):
                step = steps.get(words[index])
                if step is None:
                    step = self._unusual(Line(context, words, raws, index, shape))
                    if step is IGNORED:
                        return (IGNORED,)
                elif step.names is not None:
                    step = step.names.get(words[index + 1]) or self._settled(
                        step, Line(context, words, raws, index, shape)
                    )
                elif step.careful or (step.takes_old_negation and words[index + 1] == "!"):
                    step = self._settled(step, Line(context, words, raws, index, shape))
                shape.append(step)
                index += step.take
                if step.context is not None:
                    context = step.context
                    steps = context.steps
        except IndexError:
            raise mistakes.missing_value(words[index], word_number(shape)) from None
        if index > len(words):
            raise mistakes.missing_value(shape[-1].name, word_number(shape[:-1]), shape[-1].terminals)
        return tuple(shape)

    def _unusual(self, line: Line) -> Step:
        """Return the step of a word that this context has not met before, or that it cannot remember."""
        if line.word == "--" and line.index + 1 == len(line.words):
            return _SILENT
        step = self.find(line.context, line.word)
        whole = step is not None
        if step is None:
            step = self._take_apart(line)
        if _FAMILY_OPTION.get(step.name, self.family) != self.family:
            if self._in_file:
                return IGNORED
            raise mistakes.other_family(step.name, self.family, line.number)
        if self._in_file and step.name in g.NOT_IN_A_FILE:
            raise mistakes.not_in_a_file(step.name, line.number)
        if step.name == "-f" and self.family == "ip6":
            raise mistakes.no_fragments_in_ip6(line.number)
        line.context.steps[line.word] = step
        self._remembered += 1
        step = self._settled(step, line)
        return step if whole else self._variant(step, step.terminals, step.words - 1)

    def find(self, context: Context, word: str) -> Step | None:
        """Return the step of an option by its full or shortened name."""
        if word == "!":
            return _NOT
        if word[:2] != "--":
            return general_step(g.BY_SHORT[word]) if word in g.BY_SHORT else None
        if word == "--":
            return None
        return self._long(context, word) or self._long_implied(context, word)

    def _long(self, context: Context, word: str) -> Step | None:
        """Return the step of a long option that is known without the match that -p implies."""
        if word in g.BY_LONG:
            return general_step(g.BY_LONG[word])
        known = known_options(context)
        for owner, option in known:
            if word in spellings(option):
                return option_step(option, owner)
        entries = {entry.name: entry for long, entry in g.BY_LONG.items() if long.startswith(word)}
        options = [(o, option) for o, option in known if any(name.startswith(word) for name in spellings(option))]
        if len(entries) + len(options) != 1:
            return None
        return option_step(options[0][1], options[0][0]) if options else general_step(*entries.values())

    def _long_implied(self, context: Context, word: str) -> Step | None:
        """Return the step of an option of the match that -p names, where that match is not loaded yet."""
        name = context.protocol
        if not name or any(loaded.kind == "match" and loaded.name == name for loaded in context.loaded):
            return None
        if context.implied is None:
            options = self.options.match_options(name, self.family) or ()
            context.implied = self._child(context, Loaded("match", name, options, implied=True))
        step = self._long(context.implied, word)
        return None if step is None else replace(step, implies=name, context=context.implied)

    def _settled(self, step: Step, line: Line) -> Step:
        """Return the step as the words behind it make it: a name, words that may be missing, `!` in its old place."""
        if step.names is not None:
            return self._named(step, line)
        if step.optional:
            return self._with_optional_words(step, line)
        if step.takes_old_negation and _is_old_negation(line):
            step = self._variant(step, (step.terminals[0], "OLD_NOT", *step.terminals[1:]), step.words + 1)
        if step.terminals[-2:] == ("VALUE", "VALUE"):
            last = line.index + step.take - 1
            if last < len(line.words) and line.words[last][:1] in {"-", "!"}:
                raise mistakes.missing_value(line.word, line.number, step.terminals)
        return step

    def _named(self, step: Step, line: Line) -> Step:
        """Return the step of -m, -j or -p with its name."""
        name = line.words[line.index + 1]
        if step.name == "-p":
            if _is_old_negation(line):
                inner = self._with_protocol(step, line.context, line.words[line.index + 2])
                return self._variant(inner, ("OPTION", "OLD_NOT", "VALUE"), inner.words + 1)
            found = self._with_protocol(step, line.context, name)
        elif step.name == "-m":
            found = self._with_match(line, name)
        else:
            found = self._with_target(line, name)
        if step.names is not None:
            step.names[name] = found
            self._remembered += 1
        return found

    def _with_protocol(self, step: Step, context: Context, value: str) -> Step:
        match = self.match_of_protocol(value)
        known = context.protocols.get(match)
        if known is None:
            child = self._child(context, None, match) if match else None
            known = replace(step, names=None, context=child)
            context.protocols[match] = known
        return known

    def _with_match(self, line: Line, name: str) -> Step:
        name = "icmp6" if name in g.ICMP6_NAMES else name
        options = self.options.match_options(name, self.family)
        if options is None:
            raise mistakes.unknown_match(self.options, name, self.family, line.number + 1)
        return self._loading("MATCH", line.context, Loaded("match", name, options))

    def _with_target(self, line: Line, name: str) -> Step:
        mistakes.refuse_bad_name(name, line.number + 1)
        options = self.options.target_options(name, self.family)
        if options is not None:
            return self._loading("JUMP", line.context, Loaded("target", name, options))
        if line.context.to_chain is None:
            line.context.to_chain = Step(terminals=("JUMP", "CHAIN"), take=2, words=2, name="-j")
        return line.context.to_chain

    def _loading(self, terminal: str, context: Context, loaded: Loaded) -> Step:
        child = self._child(context, loaded)
        owner = len(context.loaded)
        return Step(terminals=(terminal, "EXTENSION"), take=2, words=2, name=loaded.name, owner=owner, context=child)

    def _child(self, context: Context, loaded: Loaded | None, protocol: str = "") -> Context:
        self._remembered += 1
        return Context(context.loaded if loaded is None else (*context.loaded, loaded), protocol or context.protocol)

    def match_of_protocol(self, value: str) -> str:
        """Return the match that `-p value` loads when one of its options is used, or nothing."""
        name = value.lower()
        if name[:1].isdigit():
            name = g.PROTOCOL_MATCHES.get(_number(name), "")
        name = "icmp6" if name in g.ICMP6_NAMES else name
        return name if name and self.options.match_options(name, self.family) is not None else ""

    def _with_optional_words(self, step: Step, line: Line) -> Step:
        behind = line.index + step.take
        if step.name == "-c" and "," in line.words[line.index + 1][1:]:
            return step  # `-c 5,6` says both counters
        present = 0
        for word in line.words[behind : behind + len(step.optional)]:
            if word[:1] in {"-", "!"}:
                break
            present += 1
        if step.name == "-c" and not present:
            raise mistakes.missing_value("-c", line.number, (*step.terminals, *step.optional))
        return self._variant(step, step.terminals + step.optional[:present], step.words + present)

    def _variant(self, step: Step, terminals: tuple[str, ...], words: int) -> Step:
        """Return the one step that differs from another in this."""
        key = (step, terminals, words)
        known = self._variants.get(key)
        if known is None:
            known = replace(step, terminals=terminals, take=len(terminals), words=words)
            self._variants[key] = known
            self._remembered += 1
        return known

    def _take_apart(self, line: Line) -> Step:
        """Put two words in place of one that says two things, and return the step of the first."""
        word = line.word
        option, value = word, ""
        step: Step | None = None
        if word[:2] == "--":
            option, equals, value = word.partition("=")
            step = self.find(line.context, option) if equals else None
            if step is None or (step.take == 1 and not step.optional):
                raise mistakes.not_an_option(self, line)
        elif word[:2] in g.BY_SHORT and len(word) > 2:
            mistakes.refuse_single_dash(self, line)
            option, value = word[:2], word[2:]
            entry = g.BY_SHORT[option]
            step = general_step(entry)
            if not (entry.takes or entry.optional):
                value = "-" + value  # -vL is -v -L
        if step is None:
            raise mistakes.not_an_option(self, line)
        if step.name in g.WHOLE_WORD:
            raise mistakes.glued_interface(step.name, word, value, line.number)
        line.words[line.index : line.index + 1] = [option, value]
        if line.raws is not None:
            line.raws[line.index : line.index + 1] = [option, quoted(value) if '"' in line.raws[line.index] else value]
        return line.context.steps.get(option) or step


def _is_old_negation(line: Line) -> bool:
    """Tell whether `-s ! x` is meant, the spelling before iptables 1.4.3, and not the value `!` (`--string ! -j DROP`)."""
    behind = line.words[line.index + 2 : line.index + 3]
    return line.words[line.index + 1] == "!" and bool(behind) and behind[0][:1] not in {"-", "!"}


def _number(text: str) -> int:
    """Return what strtoul makes of the text with base 0, or -1."""
    base = 16 if text[:2] == "0x" else 8 if text[0] == "0" and len(text) > 1 else 10
    try:
        return int(text, base)
    except ValueError:
        return -1
