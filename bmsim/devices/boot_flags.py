"""The boot flags of a BMC (§28.13, parameter 5): what the next boots come from, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

VALID, PERSISTENT, UEFI = 0x80, 0x40, 0x20

ONCE_VALID_S = 60.0
"""§28.13, parameter 3: flags are dropped when no chassis control command comes within this time."""


class BootDevice(IntEnum):
    """The selectors that our machines can follow."""

    UNCHANGED = 0
    NETWORK = 1
    DISK = 2
    CDROM = 5


@dataclass(frozen=True, slots=True)
class BootFlags:
    """expires_at_s: when they stop to count; None: not by the clock."""

    valid: bool = False
    persistent: bool = False
    uefi: bool = False
    device: BootDevice = BootDevice.UNCHANGED
    expires_at_s: float | None = None

    @classmethod
    def decode(cls, data: bytes, *, now_s: float, expire: bool) -> BootFlags:
        """data: the parameter, its first two bytes at least. Raises ValueError for an unknown device."""
        flags, device = data[0], BootDevice(data[1] >> 2 & 0x0F)
        persistent = bool(flags & PERSISTENT)
        return cls(
            valid=bool(flags & VALID),
            persistent=persistent,
            uefi=bool(flags & UEFI),
            device=device,
            expires_at_s=now_s + ONCE_VALID_S if expire and not persistent else None,
        )

    def encode(self) -> bytes:
        flags = VALID * self.valid | PERSISTENT * self.persistent | UEFI * self.uefi
        return bytes((flags, self.device << 2, 0, 0, 0))

    def at(self, now_s: float) -> BootFlags:
        """The flags as they count at a moment."""
        if self.expires_at_s is None or now_s < self.expires_at_s:
            return self
        return replace(self, valid=False, expires_at_s=None)

    def after_boot(self) -> BootFlags:
        """What is left of them once a machine has booted."""
        return self if self.persistent else BootFlags()

    @property
    def override(self) -> BootDevice:
        """What the next boot comes from; UNCHANGED: from what the machine's own order says."""
        return self.device if self.valid else BootDevice.UNCHANGED
