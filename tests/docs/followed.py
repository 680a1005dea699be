"""Pages that are followed: commands and their output are taken from a page's console blocks, and the output is put back."""

from __future__ import annotations

import re
from typing import NamedTuple

_BLOCK = re.compile(r"^```console(?P<where>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = (
    (re.compile(r"\b\d{8}-\d{6}[-\w]*|\b\d{4}-\d\d-\d\d[T_-]\d\d[:.-]?\d\d[:.-]?\d\d\S*"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? (s|seconds)\b"), "N seconds"),
)


class Command(NamedTuple):
    """One command of a page, in which terminal, and what the page says that it prints."""

    text: str
    where: str
    output: str


def commands(page: str) -> list[Command]:
    """Return the commands in their order."""
    found = []
    for block in _BLOCK.finditer(page):
        for part in re.split(r"^# ", block["body"], flags=re.MULTILINE)[1:]:
            text, _, output = part.partition("\n")
            found.append(Command(text, block["where"].strip(), output))
    return found


def with_outputs(page: str, outputs: list[str]) -> str:
    """Return the page with other outputs."""
    left = iter(outputs)

    def block(match: re.Match[str]) -> str:
        texts = [part.split("\n", 1)[0] for part in re.split(r"^# ", match["body"], flags=re.MULTILINE)[1:]]
        body = "".join(f"# {text}\n{next(left)}" for text in texts)
        return f"```console{match['where']}\n{body}```"

    return _BLOCK.sub(block, page)


def normalised(text: str) -> str:
    """Return text without what is another one each time."""
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())
