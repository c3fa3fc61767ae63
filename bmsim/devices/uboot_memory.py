"""The memory of a board under U-Boot: what was put where, and how long it lasts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """source: the URL that it came from. head: its first bytes, of what is looked into."""

    source: str
    size_bytes: int
    head: bytes = b""


class Memory:
    """By address. What is put over a part of something ends all of it."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}

    def put(self, address: int, held: Held) -> None:
        end = address + held.size_bytes
        for at, other in list(self._held.items()):
            if at < end and address < at + other.size_bytes:
                del self._held[at]
        self._held[address] = held

    def at(self, address: int) -> Held | None:
        return self._held.get(address)

    def forget(self, address: int) -> None:
        self._held.pop(address, None)
