"""A machine's cable and the port of the switch that it leads to."""

from __future__ import annotations

NEVER_S = float("inf")


class SwitchPort:
    """Times are any seconds that never go back."""

    __slots__ = ("_blocks_for_s", "_link_up_at_s", "plugged")

    def __init__(self) -> None:
        self.plugged = True
        self._blocks_for_s = 0.0
        self._link_up_at_s = NEVER_S

    def block_for(self, seconds: float) -> None:
        """How long it passes nothing after the link came up, as spanning tree and LACP do."""
        self._blocks_for_s = seconds

    def link_up(self, at_s: float) -> None:
        """Some driver has taken the NIC, and so the link goes down and comes up again."""
        self._link_up_at_s = at_s

    def link_down(self) -> None:
        self._link_up_at_s = NEVER_S

    def passes(self, now_s: float) -> bool:
        return self.plugged and now_s >= self._link_up_at_s + self._blocks_for_s

    def fault(self, now_s: float) -> str:
        """What keeps a message from passing; empty: nothing but a link that isn't up yet."""
        if not self.plugged:
            return "node.dead_nic"
        return "net.port_blocked_at_first" if self.blocks(now_s) else ""

    def blocks(self, now_s: float) -> bool:
        """Whether the link is up and the port doesn't forward yet: its BPDUs and LACPDUs tell."""
        return self.plugged and self._link_up_at_s <= now_s < self._link_up_at_s + self._blocks_for_s
