"""Faults that wait for a boot to get so far, and then stop it or start it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FAULTS = ("node.hangs", "boot.loop")

Given = Mapping[str, Mapping[str, Any]]
RAMDISKS = ("ramdisk", "initrd")


def moment(device: str, command: str, args: Mapping[str, Any]) -> str:
    """How far a boot has got by what was just seen of it: "firmware", "loader", "kernel", "agent" or ""."""
    match device, command:
        case "machine", "on" | "reset":
            return "firmware"
        case "dhcp", "discover" | "request" if args.get("client") == "iPXE":
            return "loader"
        case "http" | "tftp", "sent" if str(args.get("file", "")).startswith(RAMDISKS):
            return "kernel"
        case "http", "post" if args.get("file") == "hello":
            return "agent"
    return ""


class BootFaults:
    """Of one node. stop and restart: what is done to the machine; struck: told of each time."""

    def __init__(
        self, stop: Callable[[], None], restart: Callable[[], None], struck: Callable[[str, str], None]
    ) -> None:
        self._acts = {"node.hangs": stop, "boot.loop": restart}
        self._struck = struck
        self._known: Given = {}
        self._strikes: dict[str, int] = {}
        self._done_this_boot: set[str] = set()

    def reached(self, at: str, given: Given) -> None:
        """A boot has got to a moment. given: the faults that there are now, parameters completed."""
        self._forget_what_was_healed(given)
        if at == "firmware":
            self._done_this_boot.clear()
        for fault in FAULTS:
            parameters = given.get(fault)
            if parameters is None or parameters["at"] != at or fault in self._done_this_boot:
                continue
            count = parameters["count"]
            if count is None or self._strikes.get(fault, 0) < count:
                self._strikes[fault] = self._strikes.get(fault, 0) + 1
                self._done_this_boot.add(fault)
                self._struck(fault, at)
                self._acts[fault]()

    def _forget_what_was_healed(self, given: Given) -> None:
        for fault in FAULTS:
            if given.get(fault) != self._known.get(fault):
                self._strikes.pop(fault, None)
                self._done_this_boot.discard(fault)
        self._known = {fault: given[fault] for fault in FAULTS if fault in given}
