"""The machine behind a BMC, as a libvirt domain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TypeVar
from xml.etree import ElementTree as xml

import libvirt
import libvirt_qemu  # type: ignore[import-untyped]

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Act
from bmsim.devices.boot_flags import BootDevice
from bmsim.faces import boot_order
from bmsim.faces.boot_order import BootOrder
from bmsim.faces.bounded_calls import BoundedCalls, StillRunning
from bmsim.faces.control import MachineRefused

T = TypeVar("T")

CALL_TIMEOUT_S = 3.0
"""Less than the patience of a client: ipmitool's is 4 s as provisioners call it."""

DEVICES = {BootDevice.NETWORK: "network", BootDevice.DISK: "hd", BootDevice.CDROM: "cdrom"}

UNREACHABLE = frozenset(
    {
        libvirt.VIR_ERR_NO_CONNECT,
        libvirt.VIR_ERR_INVALID_CONN,
        libvirt.VIR_ERR_NO_DOMAIN,
        libvirt.VIR_ERR_SYSTEM_ERROR,
        libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_AUTH_FAILED,
    }
)
UNSUPPORTED = frozenset({libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_UNSUPPORTED})


NOT_BOOTED_FROM = -1
"""QEMU's boot index of a device that isn't to be tried."""


class LibvirtMachine:
    """`control.Machine` by one domain. The connection is opened at need, and again after a loss."""

    def __init__(self, uri: str, domain: str) -> None:
        libvirt.registerErrorHandler(lambda *_: None, None)
        self._uri = uri
        self._name = domain
        self._calls = BoundedCalls("libvirt")
        self._connection: libvirt.virConnect | None = None
        # What the running machine goes by at its next reset; None: not known.
        self._live_order: tuple[str, ...] | None = None

    def is_on(self) -> bool:
        return self._bounded(lambda: bool(self._domain().isActive()))

    def do(self, act: Act) -> None:
        acts: dict[Act, Callable[[], object]] = {
            Act.ON: self._start,
            Act.OFF: lambda: self._domain().destroy(),
            Act.CYCLE: self._cycle,
            Act.RESET: self._reset,
            Act.DIAGNOSE: lambda: self._domain().injectNMI(),
            Act.SHUT_DOWN: lambda: self._domain().shutdown(),
        }
        self._bounded(acts[act])

    def boot_next(self, device: BootDevice, kept: bytes) -> None:
        self._bounded(lambda: self._set_order(DEVICES.get(device), kept))

    def kept(self) -> bytes:
        return self._bounded(lambda: boot_order.read(self._xml()).kept)

    def own_device(self) -> BootDevice:
        first = self._bounded(lambda: boot_order.read(self._xml()).own[0])
        return next((device for device, name in DEVICES.items() if name == first), BootDevice.UNCHANGED)

    # --- in the thread of the calls -------------------------------------------------------------

    def _start(self) -> None:
        self._domain().create()
        self._live_order = boot_order.read(self._xml()).now

    def _cycle(self) -> None:
        self._domain().destroy()
        self._start()

    def _reset(self) -> None:
        domain = self._domain()
        hangs = domain.isActive() and domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        if self._live_order == boot_order.read(self._xml()).now and not hangs:
            domain.reset()
        else:
            # The order couldn't be changed while it ran, or QEMU stands still, and wouldn't go on by a reset;
            # a new start has the right one, and goes.
            self._cycle()

    def _set_order(self, device: str | None, kept: bytes) -> None:
        before = self._xml()
        known = boot_order.read(before)
        wanted = known.overridden(device, kept)
        if wanted != known:
            self._open().defineXML(boot_order.written(before, wanted))
        domain = self._domain()
        if domain.isActive() and self._live_order != wanted.now:
            self._live_order = wanted.now if self._set_live_order(domain, wanted) else None

    def _set_live_order(self, domain: libvirt.virDomain, order: BootOrder) -> bool:
        """QEMU tells its firmware the boot indexes anew at each reset; libvirt has no call to change them."""
        if self._open().getType() != "QEMU":
            return False
        aliases = boot_order.device_aliases(domain.XMLDesc(0))
        # An index must never be in use twice, not even by the device that it is given to again.
        first = time.monotonic_ns() // 1_000_000 % 2**27 * 8
        indexes = {kind: index for index, kind in enumerate(order.now, first)}
        return all(
            _qemu_takes(
                domain,
                "qom-set",
                path=f"/machine/peripheral/{alias}",
                property="bootindex",
                value=indexes.get(kind, NOT_BOOTED_FROM),
            )
            for kind, alias in aliases.items()
        )

    def _xml(self) -> str:
        """Of the next start."""
        flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
        return str(self._domain().XMLDesc(flags))

    def _domain(self) -> libvirt.virDomain:
        return self._open().lookupByName(self._name)

    def _open(self) -> libvirt.virConnect:
        if self._connection is None or not _is_alive(self._connection):
            self._connection = libvirt.open(self._uri)
        return self._connection

    def _bounded(self, function: Callable[[], T]) -> T:
        try:
            return self._calls.run(function, timeout_s=CALL_TIMEOUT_S)
        except libvirt.libvirtError as error:
            number = error.get_error_code()
            code = ipmi.UNSPECIFIED
            if number in UNREACHABLE:
                code = ipmi.UNREACHABLE
            elif number in UNSUPPORTED:
                code = ipmi.INVALID_FIELD  # §28.3: the control isn't supported
            raise MachineRefused(f"libvirt, domain {self._name}: {error}", code) from error
        except StillRunning as error:
            raise MachineRefused(f"libvirt, domain {self._name}: {error}", ipmi.TIMED_OUT) from error
        except xml.ParseError as error:
            raise MachineRefused(
                f"libvirt's XML of domain {self._name}: {error}", ipmi.UNSPECIFIED
            ) from error


def _qemu_takes(domain: libvirt.virDomain, command: str, **arguments: object) -> bool:
    try:
        order = json.dumps({"execute": command, "arguments": arguments})
        answer = libvirt_qemu.qemuMonitorCommand(domain, order, 0)
    except libvirt.libvirtError:
        return False
    return "error" not in json.loads(answer)


def _is_alive(connection: libvirt.virConnect) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False  # it was closed
