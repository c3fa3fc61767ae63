"""The shells of U-Boot and GRUB, as far as boot scripts go: if, for, && and ||, quotes, variables.

A script becomes a tree once, and is walked with the commands that its host knows. Source: U-Boot,
common/cli_hush.c; https://docs.u-boot.org/en/latest/usage/cmdline.html; GRUB's manual, 6
(shell-like scripting).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bmsim.devices.running import Flow
from bmsim.devices.system import Kernel, System, Then

MAX_COMMANDS = 10_000
"""Of one script without an end: it goes round and round."""

End = Kernel | System | Then
Result = int | End
"""Of a command: 0, an error number, or the end of its host."""

Execute = Callable[[Sequence[str]], Flow[Result]]
"""Runs one command, its words expanded."""

_TOKEN = re.compile(
    r"(?P<space>[ \t]+|\\\n)|(?P<comment>\#[^\n]*)|(?P<operator>&&|\|\||;|\n)|(?P<escaped>\\.)"
    r"""|(?P<single>'[^']*')|(?P<double>"(?:\\.|[^"\\])*")|(?P<plain>[^\s;&|'"\\]+)""",
    re.DOTALL,
)
_ESCAPED_OR_NOT = re.compile(r"(?P<escaped>\\.)|[^\\]+", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([^}]+)\}|\$([A-Za-z_]\w*)")
_KEYWORDS = frozenset(("if", "then", "else", "fi", "for", "do", "done"))


class BadScript(Exception):
    """What isn't understood."""


class Shell(Enum):
    """Whose it is: they differ in what they make of backslashes in quotes. Outside of them, what follows one
    stands for itself."""

    UBOOT = "uboot"
    """In single quotes it drops them, in double quotes it keeps them (done_word and b_addqchr), where they
    still take the meaning from what follows. Seen so in 2023.01; that of 2024, where a board is built with
    it, is like other shells."""

    GRUB = "grub"
    """As other shells: in single quotes they are letters, in double ones they may precede $, " and \\."""

    def in_single(self, text: str) -> str:
        return re.sub(r"\\(.?)", r"\1", text, flags=re.DOTALL) if self is Shell.UBOOT else text

    def in_double(self, escaped: str) -> str:
        """escaped: a backslash and what follows it."""
        return escaped[1:] if self is Shell.GRUB and escaped[1] in '$"\\' else escaped


@dataclass(frozen=True, slots=True)
class _Word:
    """Its pieces, each with the quotes that it stands in."""

    pieces: tuple[tuple[str, str], ...]

    @property
    def keyword(self) -> str:
        """Empty: it is none."""
        text, quotes = self.pieces[0]
        return text if len(self.pieces) == 1 and not quotes and text in _KEYWORDS else ""

    def expanded(self, variables: Mapping[str, str]) -> list[str]:
        """The words that it stands for: what isn't quoted falls apart at spaces."""
        words: list[str] = []
        joins = False  # whether the next piece belongs to the last word
        for text, quotes in self.pieces:
            value = text if quotes == "'" else _filled_in(text, variables)
            parts = [value] if quotes else value.split()
            if joins and words and parts:
                words[-1] += parts.pop(0)
            words += parts
            joins = bool(words)
        return words


def _filled_in(text: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables.get(found[1] or found[2], ""), text)


@dataclass(frozen=True, slots=True)
class _Command:
    words: tuple[_Word, ...]


@dataclass(frozen=True, slots=True)
class _Chain:
    """Commands with the operator that stands before each but the first."""

    first: _Command
    rest: tuple[tuple[str, _Command], ...]


@dataclass(frozen=True, slots=True)
class _If:
    condition: _List
    then: _List
    otherwise: _List


@dataclass(frozen=True, slots=True)
class _For:
    name: str
    values: tuple[_Word, ...]
    body: _List


_List = tuple["_Chain | _If | _For", ...]


def run(text: str, variables: dict[str, str], execute: Execute, shell: Shell = Shell.UBOOT) -> Flow[Result]:
    """What the script ended with. Raises BadScript before any of it has run."""
    parser = _Parser(text, shell)
    tree = parser.list_until()
    parser.ends()
    return _Walk(variables, execute).list(tree)


class _Parser:
    def __init__(self, text: str, shell: Shell) -> None:
        self._tokens: list[_Word | str] = list(_tokens(text, shell))
        self._next = 0

    def ends(self) -> None:
        if self._next < len(self._tokens):
            raise BadScript(f"syntax error near {self._peek()}")

    def list_until(self, *ends: str) -> _List:
        """Up to one of these keywords, which is left; or to the end of all."""
        found: list[_Chain | _If | _For] = []
        while (token := self._peek()) is not None:
            if isinstance(token, str):
                if token not in (";", "\n"):
                    raise BadScript(f"syntax error near {token}")
                self._next += 1
            elif token.keyword in ends and token.keyword:
                return tuple(found)
            elif token.keyword == "if":
                found.append(self._if())
            elif token.keyword == "for":
                found.append(self._for())
            elif token.keyword:
                raise BadScript(f"syntax error near {token.keyword}")
            else:
                found.append(self._chain())
        if ends:
            raise BadScript(f"{ends[0]} is missing")
        return tuple(found)

    def _if(self) -> _If:
        self._keyword("if")
        condition = self.list_until("then")
        self._keyword("then")
        then = self.list_until("else", "fi")
        otherwise: _List = ()
        if self._is("else"):
            self._keyword("else")
            otherwise = self.list_until("fi")
        self._keyword("fi")
        return _If(condition, then, otherwise)

    def _for(self) -> _For:
        self._keyword("for")
        name, *rest = self._words()
        if not rest or rest[0].pieces != (("in", ""),):
            raise BadScript("for takes NAME in WORDS")
        while self._peek() in (";", "\n"):
            self._next += 1
        self._keyword("do")
        body = self.list_until("done")
        self._keyword("done")
        return _For(name.pieces[0][0], tuple(rest[1:]), body)

    def _chain(self) -> _Chain:
        first, rest = _Command(self._words()), []
        while isinstance(operator := self._peek(), str) and operator in ("&&", "||"):
            self._next += 1
            rest.append((operator, _Command(self._words())))
        return _Chain(first, tuple(rest))

    def _words(self) -> tuple[_Word, ...]:
        words = []
        while isinstance(token := self._peek(), _Word):
            words.append(token)
            self._next += 1
        if not words:
            raise BadScript("a command is missing")
        return tuple(words)

    def _peek(self) -> _Word | str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _is(self, keyword: str) -> bool:
        token = self._peek()
        return isinstance(token, _Word) and token.keyword == keyword

    def _keyword(self, keyword: str) -> None:
        if not self._is(keyword):
            raise BadScript(f"{keyword} is missing")
        self._next += 1


def _tokens(text: str, shell: Shell) -> list[_Word | str]:
    found: list[_Word | str] = []
    pieces: list[tuple[str, str]] = []
    at = 0

    def word_ends() -> None:
        if pieces:
            found.append(_Word(tuple(pieces)))
            pieces.clear()

    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise BadScript(f"{text[at]!r} isn't understood")
        kind, value, at = token.lastgroup, token[0], token.end()
        if kind == "comment" and pieces:
            pieces.append((value, ""))  # a # within a word
        elif kind == "single":
            pieces.append((shell.in_single(value[1:-1]), "'"))
        elif kind == "double":
            pieces += _double_quoted(value[1:-1], shell)
        elif kind == "escaped":
            pieces.append((value[1], "'"))
        elif kind == "plain":
            pieces.append((value, ""))
        else:
            word_ends()
            if kind == "operator":
                found.append(value)
    word_ends()
    return found


def _double_quoted(text: str, shell: Shell) -> list[tuple[str, str]]:
    """Its pieces: what is escaped stands for no variable."""
    found = [
        (shell.in_double(part[0]), "'") if part["escaped"] else (part[0], '"')
        for part in _ESCAPED_OR_NOT.finditer(text)
    ]
    return found or [("", '"')]


class _Walk:
    def __init__(self, variables: dict[str, str], execute: Execute) -> None:
        self._variables = variables
        self._execute = execute
        self._commands = 0

    def list(self, tree: _List) -> Flow[Result]:
        result: Result = 0
        for item in tree:
            match item:
                case _If():
                    result = yield from self._if(item)
                case _For():
                    result = yield from self._for(item)
                case _Chain():
                    result = yield from self._chain(item)
            if not isinstance(result, int):
                return result
        return result

    def _if(self, item: _If) -> Flow[Result]:
        condition = yield from self.list(item.condition)
        if not isinstance(condition, int):
            return condition
        return (yield from self.list(item.otherwise if condition else item.then))

    def _for(self, item: _For) -> Flow[Result]:
        result: Result = 0
        for value in [word for one in item.values for word in one.expanded(self._variables)]:
            self._variables[item.name] = value
            result = yield from self.list(item.body)
            if not isinstance(result, int):
                return result
        return result

    def _chain(self, item: _Chain) -> Flow[Result]:
        result = yield from self._command(item.first)
        for operator, command in item.rest:
            if not isinstance(result, int):
                return result
            if (result == 0) is (operator == "&&"):
                result = yield from self._command(command)
        return result

    def _command(self, command: _Command) -> Flow[Result]:
        self._commands += 1
        if self._commands > MAX_COMMANDS:
            raise BadScript("it goes round and round")
        words = [word for one in command.words for word in one.expanded(self._variables)]
        return (yield from self._execute(words)) if words else 0
