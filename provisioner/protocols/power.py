from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeGuard, runtime_checkable

from provisioner.core.outlets import Seen
from provisioner.core.states import PowerState


class PowerVerb(StrEnum):
    ON = "on"
    OFF = "off"
    CYCLE = "cycle"
    RESET = "reset"
    SOFT = "soft"


class BootDevice(StrEnum):
    NETWORK = "network"
    DISK = "disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSilence:
    """A power device that is left alone because it doesn't answer, as operators are shown it."""

    failures: int  # in a row
    retry_in_s: float  # it is asked again then at the latest; at once by whoever works on its node
    last_error: str


class PowerControl(Protocol):
    """Power of one node. One dialect, one attempt: no retry, no confirmation, no policy.

    All raise DeviceUnreachable (no answer in time), DeviceBusy, DeviceRefused, WrongCredentials;
    the error names the device. A call never lasts longer than `longest_command_s`, even when the
    device is dead, and when it is cancelled nothing of it goes on.
    """

    longest_command_s: float

    async def power_state(self) -> PowerState:
        """What the device says now. UNKNOWN when it answers something else than on or off."""
        ...

    async def set_power(self, verb: PowerVerb) -> None:
        """Sends one command; returns when the device acknowledged it, which proves nothing yet.
        Idempotent for ON and OFF."""
        ...


@runtime_checkable
class Feeds(Protocol):
    """Outlets that a node hangs on, as a PowerControl offers them: ON and OFF alone, CYCLE and RESET are made
    of them; SOFT is refused, since nobody hears it.

    discharge_s: what is fed keeps going that long after all of its feeds are off
    """

    discharge_s: float

    def last_seen(self) -> Mapping[str, Seen]:
        """What power_state saw last, feed by feed: outlet 1 off, outlet 2 pending. Here alone is told that
        one is on its way: to power_state, what may yet be either is unknown. Empty before that."""
        ...


@runtime_checkable
class BootDeviceControl(Protocol):
    """The firmware's next boot, where the power device can choose it (IPMI can, a PDU can't)."""

    async def set_boot_device(self, device: BootDevice, *, persistent: bool, uefi: bool) -> None:
        """Idempotent. Same errors and time bound as PowerControl."""
        ...

    async def boot_device(self) -> BootDevice | None:
        """What is set now, None when nothing (or nothing we name) overrides the firmware's order."""
        ...


@runtime_checkable
class Console(Protocol):
    """The serial console of one node, read-only."""

    async def capture(self, sink: ConsoleSink) -> None:
        """Feeds `sink` with what the console prints, until cancelled. Connects anew when the device
        drops the session. Raises PermanentError when the device offers no console."""
        ...


# What a control can do besides, asked at every command: Python looks for each member of a protocol each time,
# and what holds for one control holds for all of its type.


_known: dict[tuple[type, type], bool] = {}
"""Whether a type implements a protocol."""


def _is(control: object, protocol: type) -> bool:
    asked = type(control), protocol
    if asked not in _known:
        _known[asked] = isinstance(control, protocol)
    return _known[asked]


def is_feeds(control: object) -> TypeGuard[Feeds]:
    return _is(control, Feeds)


def controls_boot_device(control: object) -> TypeGuard[BootDeviceControl]:
    return _is(control, BootDeviceControl)


class ConsoleSink(Protocol):
    def __call__(self, data: bytes, /) -> None: ...


class DeviceFactory(Protocol):
    """Makes the controls of a node from its power driver's name, address and secrets.

    The returned object implements PowerControl, and BootDeviceControl and Console where it can.
    Raises InvalidInput (with the field) when address or secrets are unusable.
    """

    def __call__(
        self, node_name: str, address: dict[str, object], secret: dict[str, str]
    ) -> PowerControl: ...
