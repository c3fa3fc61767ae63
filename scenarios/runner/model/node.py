"""One machine of a modelled rack: its firmware, BMC and disk, what it boots and what runs on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from bmsim.devices import messages as said
from bmsim.devices.bmc import Act
from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.disk import Disk
from bmsim.devices.firmware import Firmware
from bmsim.devices.machine import Machine, Update
from bmsim.devices.tile_board import TileBoard, TileTiming
from bmsim.devices.timing import UBOOT, UEFI, Timing
from scenarios.runner.model.bmc import ModelBmc
from scenarios.runner.model.contents import MIB, ImageServer
from scenarios.runner.model.host import ModelHost
from scenarios.runner.model.node_faults import NodeFaults
from scenarios.runner.model.node_netboot import NodeNetboot
from scenarios.runner.model.node_system import NodeSystem
from scenarios.runner.model.roots import NfsRoot, Root, SharedRoots
from scenarios.runner.model.systems import ModelSystems
from scenarios.runner.model.tile import TileSystem
from scenarios.runner.model.wires import Wires
from scenarios.runner.processes import as_world
from scenarios.runner.story import StoryNode

PACE = 0.1
"""Machines of a kind differ by so much."""

TILE_FIRMWARE_S = 0.5
"""From its power until it asks for its address: as the one on wires takes to be there."""

TILE_BOOT_S = 20.0
"""In the place of 100: long enough for anything to happen meanwhile."""

FIRMWARE = {
    ("bios", "x86_64"): Firmware.BIOS_IPXE,
    ("uefi", "x86_64"): Firmware.OVMF,
    ("uefi", "arm64"): Firmware.AAVMF,
    ("uboot", "arm64"): Firmware.UBOOT_ARM64,
    ("uboot", "armhf"): Firmware.UBOOT_ARMHF,
}
TIMING = {"uefi": UEFI, "uboot": UBOOT}
TOLD_ORDER = (BootDevice.DISK,)
"""As machines of a rack come: the network is tried when they are told to."""

UNTOLD_ORDER = (BootDevice.NETWORK, BootDevice.DISK)
"""Of those whom nobody can tell."""

LEFT_BY_OTHERS = "left by others"
"""On the disk of a node that reads its root from elsewhere, and writes nothing there."""

Note = Callable[..., None]


class ModelNode:
    """`bmsim.faces.control.Machine` for its BMC, `node_system.RunsSystems` for what runs on it.

    took: told of each address that it uses from now on.
    """

    def __init__(
        self,
        spec: StoryNode,
        wires: Wires,
        hosts: Callable[[], Sequence[ModelHost]],
        images: ImageServer,
        note: Note,
        took: Callable[[ModelNode], None],
        random: Random,
        roots: SharedRoots,
    ) -> None:
        self.name, self.mac, self.arch = spec.name, spec.mac, spec.arch
        self.cpus, self.memory_mib = spec.cpus, spec.memory_mib
        self.address = ""
        self.drives: dict[str, Mapping[str, str]] = {}
        self.faults = NodeFaults(self._struck)
        left = LEFT_BY_OTHERS if spec.by_nfs and not spec.is_tile else ""
        self.disk = Disk(spec.disk_mib * MIB, content=left, strikes=self._struck)
        self._hosts, self._roots = hosts, roots
        self._rack_note = note
        self._rack_took = took
        self._loop = asyncio.get_running_loop()
        self._wake: asyncio.TimerHandle | None = None
        self._was_on = False
        self._kept = b""
        self.machine = self._machine_of(spec, 1 + PACE * (2 * random.random() - 1))
        self.bmc = ModelBmc(spec.name, spec.bmc_user, spec.bmc_password, self, self._loop.time, self._note)
        self._netboot = NodeNetboot(
            *(spec.name, wires, hosts, images, self.faults, self._note, self.feed, self._took, random),
            self.mounted,
        )
        self.system = NodeSystem(self, wires, hosts, self.faults, self._note, random)
        self.tile = (
            TileSystem(spec.mac, self.system.printed, self._note, self._mounted_now) if spec.is_tile else None
        )

    def _machine_of(self, spec: StoryNode, pace: float) -> Machine | TileBoard:
        """pace: how much slower it is than others of its kind."""
        if spec.is_tile:
            return TileBoard(
                spec.mac, timing=TileTiming(boot_s=TILE_BOOT_S * pace, firmware_s=TILE_FIRMWARE_S)
            )
        return Machine(
            (spec.mac,),
            ModelSystems(self.mounted),
            firmware=FIRMWARE[spec.firmware, spec.arch],
            order=UNTOLD_ORDER if spec.feeds else TOLD_ORDER,
            timing=TIMING.get(spec.firmware, Timing()).scaled(pace),
            disk=self.disk,
        )

    def _note(self, source: str, name: str, sender: str = "", **detail: Any) -> None:
        self._rack_note(self.name, source, name, sender, **detail)

    def _took(self, address: str) -> None:
        self.address = address
        self._rack_took(self)

    # --- faults --------------------------------------------------------------------------------

    def inject(self, fault: str, parameters: Mapping[str, Any]) -> None:
        if _of_bmc(fault):
            self.bmc.inject(fault, parameters)
            return
        self.faults.give(fault, parameters)
        self._faults_changed()
        if fault == "node.power_loss":
            self.faults.take(fault)
            self._faults_changed()  # nothing of it lasts: it may be lost again
            if isinstance(self.machine, TileBoard) and self.machine.on:
                self._struck(fault)
                self.feed(said.PowerOff())

    def heal(self, fault: str) -> None:
        if _of_bmc(fault):
            self.bmc.heal(fault)
        elif self.faults.take(fault):
            self._faults_changed()

    def _faults_changed(self) -> None:
        as_world(lambda: self._follow(self.machine.give_faults(self.faults.given, self._loop.time())))

    def _struck(self, fault: str) -> None:
        self._note("fault", "struck", fault=fault)

    def passes(self) -> bool:
        """Whether a message to or from what runs on it gets through its NIC."""
        if self.machine.passes(self._loop.time()):
            return True
        if self.machine.on and "node.dead_nic" in self.faults:
            self._struck("node.dead_nic")
        return False

    def cuts_session(self, written_bytes: int) -> bool:
        fault = self.faults.find("iscsi.session_lost")
        if fault is None or written_bytes < int(fault["after_mib"] or 0) * MIB:
            return False
        return self.faults.loses("iscsi.session_lost")

    def mounted(self, root: NfsRoot) -> Root | None:
        """What it finds there: an export is for one node alone, and ends with the server's process."""
        for host in self._hosts():
            if (netboot := host.nfs) is not None and netboot.address == root.server:
                exported = netboot.exported_to(self.mac)
                if exported is not None and exported.name == root.name:
                    return self._roots.made.get(root.name)
        return None

    def _mounted_now(self) -> Root | None:
        assert isinstance(self.machine, TileBoard)
        return self.mounted(NfsRoot.at(self.machine.root))

    # --- what its BMC does with it (`faces.control.Machine`) -------------------------------------

    def is_on(self) -> bool:
        return self.machine.on

    def do(self, act: Act) -> None:
        match act:
            case Act.ON:
                self.feed(said.PowerOn())
            case Act.OFF:
                self.feed(said.PowerOff())
            case Act.CYCLE | Act.RESET:
                self.feed(said.Reset())
            case Act.SHUT_DOWN:
                self.feed(said.ShutDown())
            case _:
                pass

    def boot_next(self, device: BootDevice, kept: bytes) -> None:
        assert isinstance(self.machine, Machine), "no board of tilepro64 has a BMC"
        self.machine.boot_next, self._kept = device, kept

    def kept(self) -> bytes:
        return self._kept

    def own_device(self) -> BootDevice:
        assert isinstance(self.machine, Machine), "no board of tilepro64 has a BMC"
        return self.machine.own_device

    # --- the machine runs ----------------------------------------------------------------------

    def powered(self, on: bool) -> None:
        """By its outlets: it starts when power comes."""
        self.feed(said.PowerOn() if on else said.PowerOff())

    def feed(self, *given: said.Input) -> None:
        as_world(self._feed, given)

    def _feed(self, given: tuple[said.Input, ...]) -> None:
        self._follow(self.machine.update(self._loop.time(), given))

    def _follow(self, update: Update) -> None:
        """Does what the machine had to say, and looks again when it wants to be looked at."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if update.wake_at_s is not None:
            self._wake = self._loop.call_at(update.wake_at_s, self._feed, ())
        for output in update.outputs:
            if not self._netboot.says(output):
                self._happens(output)
        if self.machine.on is not self._was_on:
            self._was_on = self.machine.on
            self._note("machine", "on" if self._was_on else "off")

    def _happens(self, output: said.Output) -> None:
        match output:
            case said.Console():
                self.system.printed.append(output.said.decode("utf-8", "replace"))
            case said.Started():
                self._took(output.address)
                self.system.started(self._as_tile(output) if self.tile is not None else output)
            case said.Stopped():
                self.system.stopped()
                if self.tile is not None:
                    self.tile.stopped()
            case said.Hung():
                self._note("machine", "hung", why=output.why)
            case said.Struck():
                self._struck(output.fault)
            case said.Began():
                self._note("machine", "post")
                if output.by_guest:
                    self.bmc.guest_started()

    def _as_tile(self, started: said.Started) -> said.Started:
        """Such a board says what it is, and not what it runs: that lies in its root."""
        assert self.tile is not None
        root = self._mounted_now()
        self.tile.up(started.address, root)
        return replace(started, name=root.image if root is not None else "")


def _of_bmc(fault: str) -> bool:
    """Renaming of NICs is made by firmware."""
    return fault.startswith("bmc.") and fault != "bmc.nic_renamed"
