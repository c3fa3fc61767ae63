"""Which instance's system ran on a machine, as far as its console tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scenarios.runner.invariants.requests_seen import RequestsSeen
from scenarios.runner.trace import Event, Origin

AGENT = "agent: version"
"""A ramdisk prints it: no instance's system runs on the machine now. A modelled board has none."""

PROMPT, TILE_PROMPT = "login:", "the monitor listens"
"""What an instance's own system alone prints: a modelled board, that it mounted its root and found its init
good."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """An instance whose system had printed nothing. since: where in the console it begins."""

    since: int
    image: str


class SystemsSeen:
    """tiles: boards of tilepro64. console(node): all that it has printed. asked: shown each event before."""

    def __init__(self, tiles: Iterable[str], console: Callable[[str], str], asked: RequestsSeen) -> None:
        self._tiles = frozenset(tiles)
        self._console = console
        self._asked = asked
        self._left: dict[str, list[int]] = {}  # node → where its console was when a deletion was asked for
        self._doubts: dict[str, list[_Doubt]] = {}

    def see(self, event: Event) -> None:
        if event.origin is not Origin.STAGE or (event.source, event.name) != ("request", "delete"):
            return
        if node := self._asked.place_of(event.detail["instance"]):
            self._left.setdefault(node, []).append(len(self._console(node)))

    def running(self, node: str) -> str | None:
        """The image of the instance that is there, if its system was seen. Its SSH server may be there before
        it prints: None, until the story has ended."""
        console, instance = self._console(node), self._asked.on(node)
        image = instance.image if instance is not None else ""
        # What ran for one that is to go says nothing of the next.
        since = max(console.rfind(AGENT), 0, *self._left.get(node, ()))
        if self._prompt(node) in console[since:]:
            return image
        self._doubts.setdefault(node, []).append(_Doubt(since, image))
        return None

    def ran(self, node: str) -> Sequence[str]:
        """The story has ended. Of each that `running` couldn't tell, in that order: its image, or "" if its
        system never printed anything."""
        console, prompt = self._console(node), self._prompt(node)
        return [
            doubt.image if prompt in console[doubt.since : self._until(node, doubt, console)] else ""
            for doubt in self._doubts.get(node, ())
        ]

    def _until(self, node: str, doubt: _Doubt, console: str) -> int:
        """Where the ramdisk that follows begins; a board has none: where the deletion was asked for."""
        following = console.find(AGENT, doubt.since + 1)
        if following >= 0:
            return following
        left = (at for at in self._left.get(node, ()) if at > doubt.since)
        return next(left, len(console)) if node in self._tiles else len(console)

    def _prompt(self, node: str) -> str:
        return TILE_PROMPT if node in self._tiles else PROMPT
