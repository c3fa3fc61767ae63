"""Power and boot device by IPMI 2.0. Raw commands: their answers don't depend on ipmitool's wording."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from provisioner.core.errors import DeviceBusy, DeviceRefused, InvalidInput
from provisioner.core.states import PowerState
from provisioner.drivers.ipmi_console import capture_console
from provisioner.drivers.ipmi_session import BmcAddress, IpmiSession
from provisioner.protocols.children import Children
from provisioner.protocols.power import BootDevice, ConsoleSink, PowerControl, PowerVerb

LONGEST_COMMAND_S = 4.0
"""Power commands are acknowledged at once, so a BMC that needs longer counts as silent."""

KILL_S = 0.2
"""Of it, what ending ipmitool may take."""

CHASSIS = 0x00
GET_CHASSIS_STATUS = 0x01
CHASSIS_CONTROL = 0x02  # §28.3
SET_BOOT_OPTIONS = 0x08  # §28.12
GET_BOOT_OPTIONS = 0x09
BOOT_FLAG_VALID_CLEARING = 3  # boot option parameters, table 28-14
BOOT_FLAGS = 5

CONTROLS = {
    PowerVerb.OFF: 0x00,
    PowerVerb.ON: 0x01,
    PowerVerb.CYCLE: 0x02,
    PowerVerb.RESET: 0x03,
    PowerVerb.SOFT: 0x05,
}

VALID, PERSISTENT, UEFI = 0x80, 0x40, 0x20
SELECTOR_MASK = 0x3C
SELECTORS = {BootDevice.NETWORK: 0x04, BootDevice.DISK: 0x08}
DONT_CLEAR_ON_TIMEOUT = 0x08


class IpmiDevice:
    """`PowerControl`, `BootDeviceControl` and `Console` of one node, by its BMC."""

    longest_command_s = LONGEST_COMMAND_S

    def __init__(self, session: IpmiSession) -> None:
        self._session = session

    async def power_state(self) -> PowerState:
        tried = "read the power state"
        async with self._session.bounded(tried):
            status = await self._session.raw(tried, CHASSIS, GET_CHASSIS_STATUS)
        if len(status) < 3:  # §28.2: at least three bytes
            return PowerState.UNKNOWN
        return PowerState.ON if status[0] & 0x01 else PowerState.OFF

    async def set_power(self, verb: PowerVerb) -> None:
        tried = f"set power {verb}"
        try:
            async with self._session.bounded(tried):
                await self._session.raw(tried, CHASSIS, CHASSIS_CONTROL, CONTROLS[verb])
        except DeviceBusy as error:
            if verb in (PowerVerb.ON, PowerVerb.OFF) or not error.answer.startswith("0xD5"):
                raise
            # "Not in the present state" of a machine that is off: waiting won't switch it on.
            raise DeviceRefused(
                tried, device=error.device, answer=error.answer, advice="Is the node switched on?"
            ) from error

    async def set_boot_device(self, device: BootDevice, *, persistent: bool, uefi: bool) -> None:
        tried = f"set boot device {device}"
        flags = VALID | (PERSISTENT if persistent else 0) | (UEFI if uefi else 0)
        async with self._session.bounded(tried):
            # The flags are dropped 60 s after they were set unless this is said first; BMCs that
            # don't know the parameter refuse it, and mostly don't drop the flags either.
            with contextlib.suppress(DeviceRefused):
                await self._session.raw(
                    tried, CHASSIS, SET_BOOT_OPTIONS, BOOT_FLAG_VALID_CLEARING, DONT_CLEAR_ON_TIMEOUT
                )
            await self._session.raw(
                tried, CHASSIS, SET_BOOT_OPTIONS, BOOT_FLAGS, flags, SELECTORS[device], 0, 0, 0
            )

    async def boot_device(self) -> BootDevice | None:
        tried = "read the boot device"
        async with self._session.bounded(tried):
            answer = await self._session.raw(tried, CHASSIS, GET_BOOT_OPTIONS, BOOT_FLAGS, 0, 0)
        # parameter version, parameter (bit 7: invalid or locked), then the five bytes of flags
        if len(answer) < 4 or answer[1] & 0x80 or not answer[2] & VALID:
            return None
        selector = answer[3] & SELECTOR_MASK
        return next((device for device, bits in SELECTORS.items() if bits == selector), None)

    async def capture(self, sink: ConsoleSink) -> None:
        """As `protocols.power.Console`."""
        await capture_console(self._session, sink)


class IpmiDevices:
    """`protocols.power.DeviceFactory` of the driver `ipmi`.

    address: address, port (623), user, and where needed cipher_suites ([3, 17]), privilege (ADMINISTRATOR).
    secret: password.
    """

    def __init__(self, children: Children) -> None:
        self._children = children

    def __call__(
        self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]
    ) -> PowerControl:
        if "password" not in secret:
            raise InvalidInput("reach a BMC by IPMI", field="power.password", answer="it is missing")
        parsed = BmcAddress.parse(address, secret)
        name = f"BMC {parsed.host} of node {node_name}"
        timeout_s = LONGEST_COMMAND_S - KILL_S
        return IpmiDevice(IpmiSession(self._children, name, parsed, secret["password"], timeout_s=timeout_s))
