"""Faults of a BMC: the catalogue, and which are active now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """what:    what happens, as an operator sees it
    source:     the real bug or everyday trouble that it comes from
    parameters: with their defaults"""

    name: str
    what: str
    source: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


CATALOGUE: MappingProxyType[str, Fault] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            Fault(
                "bmc.silent", "answers nothing at all", "iLO and iDRAC up to 300 s after a firmware update"
            ),
            Fault("bmc.wrong_credentials", "refuses every login", "everyday"),
            Fault(
                "bmc.ack_not_done",
                "acknowledges power commands and does nothing; `count` of them, or all",
                "metal3-dev-env virtbmc over SSH; VirtualBMC",
                {"count": None},
            ),
            Fault(
                "bmc.busy",
                "answers 0xC0 node busy to `commands` (all that change something); `count` times, or always",
                "iDRAC10 (Ironic 238c9e0cc), up to 60 s after a power-off",
                {"count": None, "commands": None},
            ),
            Fault(
                "bmc.boot_device_forgotten",
                "acknowledges a boot device and forgets it; `count` times, or always",
                "VirtualBMC drops the once and persistent flags",
                {"count": None},
            ),
            Fault(
                "bmc.lies_about_power",
                "tells the opposite of the power state",
                "PSU and sensor lag, sonic-mgmt #12157",
            ),
            Fault(
                "bmc.sessions_exhausted",
                "answers every login with: no more session slots",
                "leaked sessions",
            ),
        )
    }
)


class ActiveFaults:
    """Reads the file that a rack's `fault` and `heal` write, whenever it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._active: dict[str, dict[str, Any]] = {}
        self._used: dict[str, int] = {}

    def get(self, name: str) -> Mapping[str, Any] | None:
        """The parameters of an active fault, or None."""
        self._reread()
        given = self._active.get(name)
        return None if given is None else {**CATALOGUE[name].parameters, **given}

    def strikes(self, name: str, command: str = "") -> bool:
        """Whether the fault happens now; counts it, if it has a count."""
        parameters = self.get(name)
        if parameters is None:
            return False
        commands = parameters.get("commands")
        if commands is not None and command not in commands:
            return False
        count = parameters.get("count")
        used = self._used.get(name, 0)
        if count is not None and used >= count:
            return False
        self._used[name] = used + 1
        return True

    def _reread(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if stamp == self._stamp:
                return
            active = json.loads(self._path.read_text())
        except FileNotFoundError:
            stamp, active = (0, 0), {}
        self._stamp = stamp
        self._active = {name: value for name, value in active.items() if name in CATALOGUE}
        self._used = {name: count for name, count in self._used.items() if name in self._active}
