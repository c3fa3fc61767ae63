"""How a machine misbehaves: its active faults, asked at each place where they can strike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

OWN = (
    "node.slow_post",
    "node.hangs",
    "node.dead_nic",
    "node.power_loss",
    "boot.loop",
    "boot.ignores_flag",
    "boot.wrong_arch",
    "boot.wrong_image",
    "bmc.nic_renamed",
    "net.port_blocked_at_first",
)


class MachineFaults:
    """strikes: told of each time that one changes what would have happened."""

    __slots__ = ("_given", "_struck", "strikes")

    def __init__(self, strikes: Callable[[str], None]) -> None:
        self.strikes = strikes
        self._given: dict[str, Mapping[str, Any]] = {}
        self._struck: dict[str, int] = {}

    def update(self, given: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
        """The faults that there are now, parameters completed; others than a machine's are left out.

        One that stays as it was keeps its count. Returns those that are new."""
        own = {name: given[name] for name in OWN if name in given}
        fresh = frozenset(name for name in own if own[name] != self._given.get(name))
        self._struck = {name: n for name, n in self._struck.items() if name in own and name not in fresh}
        self._given = own
        return fresh

    def has(self, name: str) -> bool:
        return name in self._given

    def hangs_at(self, stage: str) -> bool:
        """Asked once when a boot comes there."""
        return self._strikes_at("node.hangs", stage)

    def panics_at(self, stage: str) -> bool:
        """Asked once when a boot comes there."""
        return self._strikes_at("boot.loop", stage)

    def post_s(self, usual_s: float) -> float:
        """Asked once for each POST."""
        slow = self._given.get("node.slow_post")
        if slow is None or slow["post_s"] == usual_s:
            return usual_s
        self.strikes("node.slow_post")
        return float(slow["post_s"])

    def wrong_image(self, part: str) -> bool:
        """Whether a kernel or an init that is loaded is another processor's. Asked once for each."""
        wrong = self._given.get("boot.wrong_image")
        if wrong is None or wrong["part"] != part:
            return False
        self.strikes("boot.wrong_image")
        return True

    def port_blocked_s(self) -> float:
        blocked = self._given.get("net.port_blocked_at_first")
        return float(blocked["for_s"]) if blocked else 0.0

    def mac(self, own: str) -> str:
        """The address that a NIC calls its own."""
        if "bmc.nic_renamed" not in self._given:
            return own
        # Locally administered (IEEE 802, bit 1 of the first byte): nobody else's.
        first, rest = own.split(":", 1)
        return f"{int(first, 16) ^ 0x02:02x}:{rest}"

    def _strikes_at(self, name: str, stage: str) -> bool:
        fault = self._given.get(name)
        if fault is None or fault["at"] != stage:
            return False
        count, struck = fault.get("count"), self._struck.get(name, 0)
        if count is not None and struck >= count:
            return False
        self._struck[name] = struck + 1
        self.strikes(name)
        return True
