"""Lines to rules and commands: splits, sorts, and asks the grammar once for each shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fwtrans.diagnostics import Diagnostic
from fwtrans.parsers.iptables_save.classify import IGNORED, Classifier
from fwtrans.parsers.iptables_save.shapes import Mistake, template_of
from fwtrans.parsers.iptables_save.spans import word_span
from fwtrans.parsers.iptables_save.template import REMEMBERED_NODES, Template

if TYPE_CHECKING:
    from fwtrans.parsers.iptables_save.options import OptionTable
    from fwtrans.parsers.iptables_save.steps import Step
    from fwtrans.parsers.iptables_save.words import BadLine
    from fwtrans.source import SourceFile, Span

SHAPE_LIMIT = 4_000
"""Dumps of whole hosts have some hundred shapes; a hostile file must not fill the memory."""

_MEANS_NOTHING = Template(command=None)


class LineReader:
    """Reads lines of one family. With `reuse` off nothing is remembered from line to line; the result is the same.

    `in_file` says that the lines are those of a file for iptables-restore, which does not take -t or -w.
    """

    def __init__(self, options: OptionTable, family: str, *, in_file: bool, reuse: bool = True) -> None:
        self._classifier = Classifier(options, family, in_file=in_file, remember=reuse)
        self._reuse = reuse
        self._templates: dict[tuple[Step, ...], Template | Mistake] = {}
        self.parsed = 0

    def template(self, words: list[str], raws: list[str] | None, skip: int = 0) -> Template:
        """Return the template for a line of at least one word; `words` are then as the template wants them.

        `skip` words in front are the name of the command and what stands before it. Raises `BadLine`.
        """
        shape = self._classifier.shape(words, raws, skip)
        template = self._templates.get(shape)
        if template is None:
            template = self._parsed(shape)
        if isinstance(template, Mistake):
            raise template.of(words)
        return template

    def _parsed(self, shape: tuple[Step, ...]) -> Template | Mistake:
        if shape == (IGNORED,):
            return _MEANS_NOTHING
        self.parsed += 1
        if not self._reuse:
            return template_of(shape, 0)
        template = template_of(shape, REMEMBERED_NODES)
        if len(self._templates) >= SHAPE_LIMIT:
            self._templates.clear()
        self._templates[shape] = template
        return template


def diagnostic_of(error: BadLine, source: SourceFile, line: int, span: Span | None = None) -> Diagnostic:
    """Return the message for a line that could not be read, with a caret at the word to blame."""
    return Diagnostic(
        code=error.code,
        message=error.message,
        span=span if span is not None else word_span(source, line, error.word),
        label=error.label,
        hints=(error.hint,) if error.hint else (),
    )
