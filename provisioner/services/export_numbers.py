"""The number of each folder that nfs-ganesha exports, the same for as long as the folder is there."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import structlog

from provisioner.core.errors import PermanentError, StorageFull
from provisioner.services.daemon import replace_file
from provisioner.services.ganesha_config import MAX_EXPORTS

log = structlog.get_logger(__name__)


class ExportNumbers:
    """What a node has opened names its file by a handle with the export's number in it
    (nfs-ganesha, `nfs4_FSALToFhandle`): with another number after a restart its root would be stale.

    Of this host alone. A node mounts from one host's address, and from the next owner's when it boots: no
    handle is ever shown to another server.
    """

    def __init__(self, file: Path) -> None:
        """file: remembers them; its folder may come later."""
        self._file = file
        self._numbers: dict[str, int] | None = None
        self._last = 0

    def of(self, folder: Path, in_force: Collection[Path]) -> int:
        """Remembered when this returns. in_force: the folders that are exported now, or still. Raises
        StorageFull, PermanentError."""
        numbers = self._known()
        if str(folder) not in numbers:
            exported = {str(path) for path in in_force}
            kept = {
                path: number for path, number in numbers.items() if path in exported or Path(path).is_dir()
            }
            number = self._next(set(kept.values()))
            kept[str(folder)] = number
            replace_file(self._file, json.dumps({"last": number, "numbers": kept}) + "\n")
            self._numbers, self._last = kept, number
            return number
        return numbers[str(folder)]

    def _next(self, taken: Collection[int]) -> int:
        """The one that was given back longest ago: handles of an older export must not open a newer one."""
        if len(taken) == MAX_EXPORTS:
            raise StorageFull("export a root directory", answer=f"{MAX_EXPORTS} are exported already")
        number = self._last % MAX_EXPORTS + 1
        while number in taken:
            number = number % MAX_EXPORTS + 1
        return number

    def _known(self) -> dict[str, int]:
        if self._numbers is None:
            self._last, self._numbers = self._read()
        return self._numbers

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
