"""The secrets of a story on machines, and all that is told to anybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from scenarios.runner.machine.beside import Beside

PATH = re.compile(r"/boot/[0-9a-f]{32}(?=/)")
"""Of what a node fetches, as its firmware prints it, token and all: nobody can keep it from that."""


class Secrecy:
    """ears: the `wire_secrets` of each compute host."""

    def __init__(self, ears: Sequence[Beside]) -> None:
        self._ears = ears
        self._secrets: set[str] = set()
        self._answers: dict[str, str] = {}

    def answered(self, what: str, text: str) -> None:
        """By the API, timelines among it. Kept once: who waits is told the same again and again."""
        self._answers.setdefault(text, f"the answer to {what}")

    def secrets(self) -> frozenset[str]:
        """That passed the wires."""
        self._secrets.update(told["secret"] for ear in self._ears for told in ear.fresh())
        return frozenset(self._secrets)

    def told(
        self, log: str, nodes: Iterable[str], console: Callable[[str], str]
    ) -> Iterator[tuple[str, str]]:
        """Where, and what. log: the provisioner's."""
        yield "the provisioner's log", log
        yield from ((where, text) for text, where in self._answers.items())
        for node in nodes:
            yield f"the console of {node}", PATH.sub("/boot/…", console(node))
