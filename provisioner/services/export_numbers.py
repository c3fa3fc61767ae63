"""The number of each folder that nfs-ganesha exports, the same for as long as the folder is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import structlog

from provisioner.core.errors import PermanentError, StorageFull
from provisioner.services.daemon import replace_file
from provisioner.services.draft import in_thread
from provisioner.services.ganesha_config import MAX_EXPORTS

log = structlog.get_logger(__name__)

REMEMBERED = 4096
"""Folders, before it is looked which of them are gone: a look at each takes its time."""


class ExportNumbers:
    """What a node has opened names its file by a handle with the export's number in it
    (nfs-ganesha, `nfs4_FSALToFhandle`): with another number after a restart its root would be stale.

    Of this host alone. A node mounts from one host's address, and from the next owner's when it boots: no
    handle is ever shown to another server.
    """

    def __init__(self, file: Path, in_force: Callable[[], Iterable[Path]]) -> None:
        """file: remembers them; its folder may come later. in_force: the folders that are exported now, or
        still."""
        self._file = file
        self._in_force = in_force
        self._numbers: dict[str, int] = {}  # no more than the file has
        self._last = 0
        self._is_read = False
        self._look_above = REMEMBERED
        self._asked: list[str] = []  # the folders whose numbers are waited for
        self._turn = asyncio.Lock()

    async def of(self, folder: Path) -> int:
        """Remembered when this returns. Those that are asked for while others are written are written
        together, at once after that. Raises StorageFull, PermanentError."""
        path = str(folder)
        self._asked.append(path)
        try:
            if path not in self._numbers:
                async with self._turn:
                    await self._give_to_all_that_wait(path)
            if path not in self._numbers:
                raise StorageFull("export a root directory", answer=f"{MAX_EXPORTS} are exported already")
            return self._numbers[path]
        finally:
            self._asked.remove(path)

    async def _give_to_all_that_wait(self, path: str) -> None:
        """Unless the one of this folder got its number with those before."""
        if not self._is_read:
            self._last, self._numbers = await in_thread(self._read)
            self._is_read = True
        if path in self._numbers:
            return
        asked = [one for one in dict.fromkeys(self._asked) if one not in self._numbers]
        if len(self._numbers) + len(asked) > min(self._look_above, MAX_EXPORTS):
            await self._forget_what_is_gone()
        numbers, last = dict(self._numbers), self._last
        taken = set(numbers.values())
        for one in asked[: MAX_EXPORTS - len(taken)]:
            last = _next(last, taken)
            taken.add(last)
            numbers[one] = last
        if len(numbers) > len(self._numbers):
            words = {"last": last, "numbers": numbers}
            await in_thread(lambda: replace_file(self._file, json.dumps(words) + "\n", durable=True))
            self._numbers, self._last = numbers, last

    async def _forget_what_is_gone(self) -> None:
        known = list(self._numbers)
        gone = await in_thread(lambda: {path for path in known if not Path(path).is_dir()})
        gone -= {str(folder) for folder in self._in_force()}
        gone -= set(self._asked)
        self._numbers = {path: number for path, number in self._numbers.items() if path not in gone}
        self._look_above = max(REMEMBERED, 2 * len(self._numbers))

    def _read(self) -> tuple[int, dict[str, int]]:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
            numbers = {str(path): int(number) for path, number in found["numbers"].items()}
            if len(set(numbers.values())) < len(numbers) or not all(
                0 < number <= MAX_EXPORTS for number in numbers.values()
            ):
                raise ValueError("numbers are given twice, or are none of an export")
            return int(found["last"]), numbers
        except FileNotFoundError:
            return 0, {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning(
                "nfs.export_numbers_lost",
                file=str(self._file),
                cause=str(error),
                advice="Nodes that run from a root by NFS may have to be booted anew",
            )
            return 0, {}
        except OSError as error:
            raise PermanentError(
                f"read {self._file}",
                answer=error.strerror or str(error),
                advice="Mend its disk: without this file, nodes that run from a root by NFS lose it",
            ) from error


def _next(last: int, taken: Collection[int]) -> int:
    """The one that was given back longest ago: handles of an older export must not open a newer one."""
    number = last % MAX_EXPORTS + 1
    while number in taken:
        number = number % MAX_EXPORTS + 1
    return number
