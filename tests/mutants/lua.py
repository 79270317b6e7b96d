"""Mutants of a Lua script: each condition never true, each side of `and` and `or` removed, each comparison shifted or
reversed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant, replaced

_TOKEN = re.compile(
    r"""(?P<skip>--\[\[.*?\]\]|--[^\n]*|[ \t\r]+)|(?P<line>\n)|(?P<string>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
    r"""|(?P<word>\w+)|(?P<sign>[=~<>]=|\.\.|.)""",
    re.DOTALL,
)
_SHIFTED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_TURNED = {"==": "~=", "~=": "=="}
_ENDS = {"if", "elseif", "while", "until", "then", "do", "return", "local", "end", "=", ",", "\n", ";"}
"""The tokens that end an expression at its own depth of brackets."""
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


@dataclass(frozen=True)
class _Token:
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def mutants_of_lua(path: Path, source: str) -> Iterator[Mutant]:
    """The mutants of a script. The first one always fails, which shows that the tests run this very file."""
    yield replaced(path, source, 0, 0, "error('mutant') ", "the whole script fails")
    tokens = [_Token(found[0], found.start()) for found in _TOKEN.finditer(source) if found.lastgroup != "skip"]
    plain = {inner for place, token in enumerate(tokens) if token.text == "if" for inner in _plain(tokens, place)}
    for place, token in enumerate(tokens):
        if token.text in ("if", "elseif"):
            yield from _conditions(path, source, tokens, place)
        elif token.text in ("and", "or"):
            yield from _sides(path, source, tokens, place)
        elif token.text == "not":
            yield replaced(path, source, token.start, tokens[place + 1].start, "", "`not` left out")
        elif token.text in _SHIFTED:
            yield replaced(path, source, token.start, token.end, _SHIFTED[token.text], "comparison shifted")
        elif token.text in _TURNED and place not in plain:
            yield replaced(path, source, token.start, token.end, _TURNED[token.text], "comparison turned")


def _then(tokens: list[_Token], place: int) -> int:
    return next(k for k in range(place, len(tokens)) if tokens[k].text == "then")


def _plain(tokens: list[_Token], place: int) -> range:
    """The positions of conditions without parts. If one is negated, the usual case fails, which every test notices."""
    condition = range(place, _then(tokens, place))
    return condition if not {"and", "or"} & {tokens[k].text for k in condition} else range(0)


def _conditions(path: Path, source: str, tokens: list[_Token], place: int) -> Iterator[Mutant]:
    then = _then(tokens, place)
    start, end = tokens[place + 1].start, tokens[then - 1].end
    if tokens[then + 1].text == "return":
        yield replaced(path, source, start, end, "false", "refusal removed")
    else:
        yield replaced(path, source, start, end, "false", "condition never met")
        yield replaced(path, source, start, end, "true", "condition always met")


def _sides(path: Path, source: str, tokens: list[_Token], place: int) -> Iterator[Mutant]:
    word = tokens[place].text
    ends = _ENDS | ({"and", "or"} if word == "and" else {"or"})
    first, last = _reach(tokens, place, -1, ends), _reach(tokens, place, 1, ends)
    yield replaced(path, source, tokens[first].start, tokens[place + 1].start, "", f"left side of `{word}` left out")
    yield replaced(path, source, tokens[place - 1].end, tokens[last].end, "", f"right side of `{word}` left out")


def _reach(tokens: list[_Token], place: int, step: int, ends: set[str]) -> int:
    """The last token that belongs to the operand on one side."""
    depth, k = 0, place + step
    while 0 <= k < len(tokens):
        text = tokens[k].text
        if depth == 0 and text in ends:
            break
        depth += step * _BRACKETS.get(text, 0)
        if depth < 0:
            break
        k += step
    return k - step
