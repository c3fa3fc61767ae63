from __future__ import annotations

import asyncio
import itertools

import pytest

from provisioner.drivers.ipmi_console import FAREWELLS, _pass_on

GREETING = b"[SOL Session operational.  Use ~? for help]\n"


class Printed:
    """A child that printed these pieces, and ended."""

    pid = 0

    def __init__(self, *pieces: bytes) -> None:
        self.stdout = asyncio.StreamReader()
        self.stderr = asyncio.StreamReader()
        self._pieces = pieces

    def signal(self, number: int) -> None: ...

    async def wait(self) -> int:
        return 0

    async def print(self) -> None:
        for piece in self._pieces:
            self.stdout.feed_data(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self.stdout.feed_eof()


def heard(*pieces: bytes) -> list[bytes]:
    got: list[bytes] = []

    async def story() -> None:
        child = Printed(*pieces)
        await asyncio.gather(_pass_on(child, got.append), child.print())

    asyncio.run(story())
    return got


def test_the_greeting_is_not_the_consoles() -> None:
    assert b"".join(heard(b"\r\n" + GREETING, b"Debian\r\n")) == b"Debian\r\n"
    assert b"".join(heard(GREETING[:20], GREETING[20:] + b"Debian")) == b"Debian"


def test_without_a_greeting_nothing_is_the_consoles() -> None:
    assert heard(b"Error: Unable to establish session\n") == []


def test_a_prompt_is_passed_on_although_nothing_follows() -> None:
    pieces = heard(GREETING, b"login: ", b"root\r\n")
    assert pieces[0] == b"login: "


@pytest.mark.parametrize("farewell", FAREWELLS)
def test_a_farewell_is_not_the_consoles_wherever_it_is_cut(farewell: bytes) -> None:
    for cut in range(5, len(farewell)):
        said = b"".join(heard(GREETING, b"last words\r\n" + farewell[:cut], farewell[cut:]))
        assert said == b"last words\r\n"


def test_what_only_begins_like_a_farewell_is_passed_on() -> None:
    pieces = [b"SOL ses", b"ame street\r\n", b"[term", b"inal]"]
    for order in itertools.permutations(range(0, 4, 2)):
        chosen = [piece for first in order for piece in pieces[first : first + 2]]
        assert b"".join(heard(GREETING, *chosen)) == b"".join(chosen)
