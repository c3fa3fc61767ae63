"""A machine: standby → POST → firmware → loader → kernel → agent or instance, by itself and free of I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bmsim.devices import net_client
from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.disk import Disk
from bmsim.devices.firmware import BootManager, Firmware
from bmsim.devices.messages import (
    Began,
    FaultsChanged,
    Input,
    Output,
    PowerOff,
    PowerOn,
    Reset,
    ShutDown,
    Started,
    Stopped,
    SystemHalts,
    SystemKind,
    SystemReboots,
)
from bmsim.devices.net_client import DhcpClient
from bmsim.devices.running import FOR_EVER, Failure, Flow, Running
from bmsim.devices.system import Kernel, System, Systems, Then
from bmsim.devices.timing import NFS_S, SYSTEM_DHCP_S, Timing

INIT = "/sbin/init"
OWN_ORDER = (BootDevice.NETWORK, BootDevice.DISK)


@dataclass(frozen=True, slots=True)
class Update:
    """wake_at_s: when `update` is to be called at the latest, if nothing comes in; None: never."""

    outputs: tuple[Output, ...]
    wake_at_s: float | None


class Machine:
    """boot_next: what its BMC says the next boot comes from; UNCHANGED: from its own order. Read when a boot
    begins, and tried before the rest of its own order.

    running: what runs on it, once its network is up.
    """

    __slots__ = (
        "_deadline_s",
        "_firmware",
        "_flow",
        "_own_order",
        "_run",
        "_systems",
        "boot_next",
        "disk",
        "macs",
        "on",
        "running",
    )

    def __init__(
        self,
        macs: Sequence[str],
        systems: Systems,
        *,
        firmware: Firmware = Firmware.BIOS_IPXE,
        order: Sequence[BootDevice] = OWN_ORDER,
        timing: Timing | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.macs = tuple(macs)
        self.disk = disk
        self.on = False
        self.running: Started | None = None
        self.boot_next = BootDevice.UNCHANGED
        self._systems = systems
        self._firmware = firmware
        self._own_order = tuple(order)
        self._run = Running(timing or Timing())
        self._flow: Flow[Then | None] | None = None
        self._deadline_s = FOR_EVER

    def update(self, now_s: float, inputs: Iterable[Input] = ()) -> Update:
        """now_s: any seconds that never go back."""
        run = self._run
        run.now_s = now_s
        for given in inputs:
            self._take(given)
        while self._flow is not None and self._deadline_s <= now_s:
            self._go_on(None)
        outputs, run.out = tuple(run.out), []
        return Update(outputs, None if self._deadline_s == FOR_EVER else self._deadline_s)

    def give_faults(self, given: Mapping[str, Mapping[str, Any]], now_s: float) -> Update:
        """The faults that there are now, parameters completed; those of other devices are ignored."""
        fresh = self._run.faults.update(given)
        self._run.port.plugged = not self._run.faults.has("node.dead_nic")
        self._run.port.block_for(self._run.faults.port_blocked_s())
        if self.disk is not None:
            self.disk.give_faults(given)
        lost_power = "node.power_loss" in fresh
        if lost_power and self.on:
            self._run.faults.strikes("node.power_loss")
        return self.update(now_s, (PowerOff() if lost_power else FaultsChanged(),))

    def passes(self, now_s: float) -> bool:
        """Whether its NIC sends and receives: asked by whoever models what runs on it."""
        return self.on and self._run.port.passes(now_s)

    @property
    def own_device(self) -> BootDevice:
        """What it boots from first when nobody says otherwise."""
        return self._own_order[0]

    # --- power -------------------------------------------------------------------------------------

    def _take(self, given: Input) -> None:
        match given:
            case PowerOn():
                if not self.on:
                    self._begin("", by_guest=False)
            case PowerOff():
                self._off("switched off")
            case Reset():
                if self.on:
                    self._begin("reset", by_guest=False)
            case ShutDown():
                if self.running is not None:
                    self._start(self._going_down())
            case SystemReboots():
                if self.running is not None:
                    self._begin("its system restarts it", by_guest=True)
            case SystemHalts():
                if self.running is not None:
                    self._off("its system switches it off")
            case FaultsChanged():
                self._go_on(given)
            case _:
                if self._run.passes():
                    self._go_on(given)

    def _begin(self, stopped: str, *, by_guest: bool) -> None:
        if stopped:
            self._run.out.append(Stopped(stopped))
        self.on, self.running = True, None
        self._run.out.append(Began(by_guest))
        if self.disk is not None:
            self.disk.machine_started()
        self._start(self._life(self._order()))

    def _off(self, why: str) -> None:
        if self.on:
            self._run.out.append(Stopped(why))
        self.on, self.running, self._flow, self._deadline_s = False, None, None, FOR_EVER
        self._run.port.link_down()

    def _order(self) -> tuple[BootDevice, ...]:
        first = self.boot_next
        if self._run.faults.has("boot.ignores_flag"):
            if (self.own_device if first is BootDevice.UNCHANGED else first) is not BootDevice.NETWORK:
                self._run.faults.strikes("boot.ignores_flag")
            first = BootDevice.NETWORK
        if first not in (BootDevice.NETWORK, BootDevice.DISK):
            return self._own_order
        return (first, *(device for device in self._own_order if device is not first))

    # --- what goes on by itself --------------------------------------------------------------------

    def _start(self, flow: Flow[Then | None]) -> None:
        self._flow = flow
        self._go_on(None)

    def _go_on(self, given: Input | None) -> None:
        if self._flow is None:
            return
        try:
            self._deadline_s = self._flow.send(given)
        except StopIteration as end:
            self._flow, self._deadline_s = None, FOR_EVER
            if end.value is Then.REBOOT:
                self._begin("it restarts", by_guest=True)
            elif end.value is Then.POWER_OFF:
                self._off("it switches itself off")

    def _life(self, order: Sequence[BootDevice]) -> Flow[Then | None]:
        run = self._run
        run.mac, run.address = run.faults.mac(self.macs[0]), ""
        if run.mac != self.macs[0]:
            run.faults.strikes("bmc.nic_renamed")
        run.port.link_up(run.now_s + run.timing.link_up_s)
        yield from run.sleep(run.faults.post_s(run.timing.post_s))
        yield from run.gate("firmware")
        manager = BootManager(run, self._firmware, self.macs, self.disk, self._systems)
        end = yield from manager.boot(order)
        if isinstance(end, Then):
            return end
        if isinstance(end, Kernel):
            return (yield from self._kernel(self._systems.of_kernel(end, self.disk)))
        usual_s = run.timing.disk_loader_s
        yield from run.sleep(self.disk.takes_s(usual_s) if self.disk else usual_s)
        return (yield from self._kernel(end))

    def _kernel(self, system: System) -> Flow[Then | None]:
        run = self._run
        run.say("Linux version")
        # Its driver takes the NIC over.
        run.port.link_up(run.now_s + run.timing.link_up_s)
        yield from run.gate("kernel")
        if run.faults.panics_at("kernel"):
            return (yield from self._panic("Attempted to kill init!"))
        usual_s = run.timing.agent_s if system.kind is SystemKind.AGENT else run.timing.os_s
        yield from run.sleep(usual_s if system.up_after_s is None else system.up_after_s)
        if system.panics:
            run.say(f"Kernel panic - not syncing: {system.panics}")
            yield from run.stop(f"kernel panic: {system.panics}")
        client = DhcpClient(None, system.dhcp_client, SYSTEM_DHCP_S)
        while isinstance((yield from net_client.lease(run, client)), Failure):
            pass  # it asks for ever
        if system.nfs_root:
            yield from self._mount(system.nfs_root)
        if system.kind is SystemKind.AGENT:
            yield from run.gate("agent")
            if run.faults.panics_at("agent"):
                return (yield from self._panic("Fatal exception"))
        self.running = Started(system.kind, system.name, run.mac, run.address, system.command_line)
        run.out.append(self.running)
        return None

    def _mount(self, root: str) -> Flow[None]:
        found = yield from net_client.nfs(self._run, root, INIT, NFS_S)
        if isinstance(found, Failure):
            self._run.say(f"Kernel panic - not syncing: VFS: Unable to mount root fs: {found.why}")
            yield from self._run.stop("kernel panic: unable to mount its root by NFS")

    def _panic(self, why: str) -> Flow[Then]:
        self._run.say(f"Kernel panic - not syncing: {why}")
        yield from self._run.sleep(self._run.timing.panic_restart_s)
        return Then.REBOOT

    def _going_down(self) -> Flow[Then]:
        self._run.say("Power key pressed, going down")
        yield from self._run.sleep(self._run.timing.shutdown_s)
        return Then.POWER_OFF
