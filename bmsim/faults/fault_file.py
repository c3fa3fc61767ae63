"""The file in which a rack says which faults a device has now: name → parameters."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmsim.faults.catalogue import completed
from bmsim.faults.fault import BadFault

Given = Mapping[str, Mapping[str, Any]]


class FaultFile:
    """Read again whenever it has changed. No file: no faults."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] = ()
        self._given: Given = {}

    def read(self) -> Given:
        """The faults, parameters completed. What can't be understood is said once on standard error."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._given = (), {}
            return self._given
        stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
        if stamp != self._stamp:
            self._stamp = stamp
            self._given = self._parsed()
        return self._given

    def _parsed(self) -> Given:
        try:
            content = json.loads(self._path.read_text())
            return {name: completed(name, parameters) for name, parameters in content.items()}
        except (OSError, ValueError, AttributeError, BadFault) as error:
            print(f"faults in {self._path} are left as they were: {error}", file=sys.stderr, flush=True)
            return self._given
