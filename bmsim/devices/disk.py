"""A disk that remembers which content lies where, not its bytes: whether two ranges are equal is decided.

Content is named by strings; two names never have a byte in common. "" are zeros.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

MIB = 2**20
SECTOR_BYTES = 512


class DiskError(Exception):
    """The disk refused; what a system would find in its log."""


class Extent(NamedTuple):
    """`length` bytes of a content, from its byte `begin` on. Of zeros, begin is 0."""

    content: str
    begin: int
    length: int


def digest(extents: Iterable[Extent]) -> str:
    """Equal for what reads equal, and for nothing else: extents of `read` are joined already."""
    text = ";".join(f"{content}+{begin}:{length}" for content, begin, length in extents)
    return hashlib.sha256(text.encode()).hexdigest()


class Disk:
    """present, size_bytes, name: as the system sees them that runs since the machine's last start.
    strikes: told of each time that a fault changes what would have happened.

    A write takes two binary searches, whatever lies on the disk.
    """

    __slots__ = (
        *("_faults", "_keys", "_made_bytes", "_made_name", "_starts", "_strikes"),
        *("name", "present", "size_bytes"),
    )

    def __init__(
        self,
        size_bytes: int,
        *,
        content: str = "",
        name: str = "vda",
        strikes: Callable[[str], None] = lambda fault: None,
    ) -> None:
        """content: what somebody left on it."""
        self._made_bytes = self.size_bytes = size_bytes
        self._made_name = self.name = name
        self.present = True
        self._strikes = strikes
        self._faults: Mapping[str, Mapping[str, Any]] = {}
        # Extent i begins at _starts[i]. Its key is its content, and where the content's byte 0 would lie:
        # neighbours of one key are one extent.
        self._starts = [0]
        self._keys = [(content, 0)]

    # --- faults ----------------------------------------------------------------------------------

    def give_faults(self, given: Mapping[str, Mapping[str, Any]]) -> None:
        """Those that there are now; others than disk.* are nothing to it."""
        self._faults = {name: parameters for name, parameters in given.items() if name.startswith("disk.")}

    def machine_started(self) -> None:
        """The machine found its disks anew."""
        self.present = "disk.missing" not in self._faults
        small = self._faults.get("disk.too_small")
        self.size_bytes = min(self._made_bytes, small["size_mib"] * MIB) if small else self._made_bytes
        renamed = "disk.renamed" in self._faults
        self.name = self._made_name[:-1] + chr(ord(self._made_name[-1]) + renamed)
        for fault, changed in (
            ("disk.missing", not self.present),
            ("disk.too_small", self.size_bytes != self._made_bytes),
            ("disk.renamed", renamed),
        ):
            if changed:
                self._strikes(fault)

    def takes_s(self, usual_s: float) -> float:
        """How long something takes that usually takes so long. Asked once for each."""
        slow = self._faults.get("disk.slow")
        if slow is None or slow["factor"] == 1:
            return usual_s
        self._strikes("disk.slow")
        return usual_s * float(slow["factor"])

    # --- what a system does with it ----------------------------------------------------------------

    def write(self, offset: int, length: int, content: str, begin: int = 0) -> None:
        """Raises DiskError; what came before the bad place is written then."""
        bad = self._bad_place("disk.write_error", offset, length)
        good = length if bad is None else max(0, bad - offset)
        corrupt = self._bad_place("disk.corrupts_writes", offset, good)
        self._put(offset, good, content, begin)
        if corrupt is not None:
            self._strikes("disk.corrupts_writes")
            at = max(corrupt, offset)
            self._put(at, min(SECTOR_BYTES, offset + good - at), f"not {content}", begin + at - offset)
        if bad is not None:
            self._strikes("disk.write_error")
            raise DiskError(f"{self.name}: I/O error, writing sector {max(bad, offset) // SECTOR_BYTES}")

    def zero(self, offset: int, length: int) -> None:
        """Raises DiskError, as `write`."""
        self.write(offset, length, "")

    def read(self, offset: int, length: int) -> list[Extent]:
        """What lies there, in order, neighbours of one content joined. Raises DiskError."""
        bad = self._bad_place("disk.read_error", offset, length)
        if bad is not None:
            self._strikes("disk.read_error")
            raise DiskError(f"{self.name}: I/O error, reading sector {max(bad, offset) // SECTOR_BYTES}")
        return self.extents(offset, length)

    def _bad_place(self, fault: str, offset: int, length: int) -> int | None:
        """Where a fault strikes first in a range; None: nowhere. Raises DiskError where there is no such
        range."""
        if not self.present:
            raise DiskError(f"{self.name}: no such device")
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise DiskError(f"{self.name}: {offset}+{length} lies beyond its {self.size_bytes} bytes")
        parameters = self._faults.get(fault)
        if parameters is None or not length:
            return None
        at_mib = parameters["at_mib"]
        if at_mib is None:
            return offset
        begin = at_mib * MIB
        return max(begin, offset) if begin < offset + length and offset < begin + MIB else None

    # --- what lies on it, whatever a system could read ---------------------------------------------

    def extents(self, offset: int = 0, length: int | None = None) -> list[Extent]:
        """What lies there, in order, neighbours of one content joined."""
        end = self._made_bytes if length is None else offset + length
        if not 0 <= offset <= end <= self._made_bytes:
            raise ValueError(f"{offset} to {end} is no range of a disk of {self._made_bytes} bytes")
        if offset == end:
            return []
        first, last = bisect_right(self._starts, offset) - 1, bisect_left(self._starts, end)
        edges = [offset, *self._starts[first + 1 : last], end]
        return [
            Extent(content, begin - origin if content else 0, stop - begin)
            for (content, origin), (begin, stop) in zip(self._keys[first:last], pairwise(edges), strict=True)
        ]

    def holds(self, offset: int, length: int, content: str, begin: int = 0) -> bool:
        """Whether a range is this content, byte by byte."""
        wanted = [Extent(content, begin if content else 0, length)] if length else []
        return self.extents(offset, length) == wanted

    def digest(self, offset: int = 0, length: int | None = None) -> str:
        """Of what lies there: equal for equal content, wherever it lies."""
        return digest(self.extents(offset, length))

    def _put(self, offset: int, length: int, content: str, begin: int) -> None:
        if not length:
            return
        end, key = offset + length, (content, offset - begin if content else 0)
        first, last = bisect_left(self._starts, offset), bisect_right(self._starts, end)
        behind = self._keys[last - 1]
        fresh = []
        if not first or self._keys[first - 1] != key:
            fresh.append((offset, key))
        if end < self._made_bytes and behind != key:
            fresh.append((end, behind))
        self._starts[first:last] = [start for start, _ in fresh]
        self._keys[first:last] = [of for _, of in fresh]
