"""A tilepro64 board: standby → boot firmware → kernel → init, by itself and free of I/O.

There is no BMC: it begins when its outlet is on and ends when that is off. It says nothing on the network but
what it asks for, until it is up; then whoever stands at its monitor gives it commands (`tile_commands`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bmsim.devices import net_client
from bmsim.devices.elf import TILEPRO, X86_64, machine_of, told
from bmsim.devices.machine import Update
from bmsim.devices.messages import (
    Began,
    FaultsChanged,
    Input,
    PowerOff,
    PowerOn,
    Started,
    Stopped,
    SystemKind,
)
from bmsim.devices.net_client import Body, DhcpClient, Lease
from bmsim.devices.nfs_root import misfit
from bmsim.devices.running import FOR_EVER, Failure, Flow, Running
from bmsim.devices.timing import TILE_DHCP_S, TILE_NFS_S, TILE_TFTP_S, Timing

CLIENT = "tile"
"""What it says that it is, by DHCP: made up, and nobody may rely on it."""

INITS = ("/sbin/init", "/etc/init", "/bin/init", "/bin/sh")
"""Where a kernel looks for its first program. Source: Linux, init/main.c, kernel_init"""

MESH = (8, 8)
RETRY_S = 1.0


class AddressBy(StrEnum):
    """How it asks for its address: boards of 2012 did it in either way."""

    DHCP = "dhcp"
    BOOTP = "bootp"


@dataclass(frozen=True, slots=True, kw_only=True)
class TileTiming:
    """boot_s: a kernel's start until the board answers a ping: 100 s, as OpenStack's nova waited for one.
    firmware_s: power-on until it asks for its address; on wires a process starts meanwhile."""

    boot_s: float = 100.0
    firmware_s: float = 0.0

    def running(self) -> Timing:
        # A transfer takes as long as it takes on the wire, and no longer.
        return Timing(os_s=self.boot_s, post_s=self.firmware_s, tftp_bytes_per_s=FOR_EVER)


class TileBoard:
    """flash: the first bytes of the kernel in its CompactFlash; None: its kernel comes by TFTP.

    up: it answers pings, and its monitor takes commands. refused: why it went no further than its loader,
    whose monitor still tells what the console said.
    """

    def __init__(
        self,
        mac: str,
        *,
        flash: bytes | None = None,
        timing: TileTiming | None = None,
        address_by: AddressBy = AddressBy.DHCP,
    ) -> None:
        self.mac = mac
        self.on = False
        self.refused = ""
        self.running: Started | None = None
        self.root = ""
        self._flash = flash
        self._address_by = address_by
        self._run = Running((timing or TileTiming()).running())
        self._flow: Flow[None] | None = None
        self._deadline_s = FOR_EVER

    @property
    def up(self) -> bool:
        return self.running is not None

    @property
    def address(self) -> str:
        return self._run.address

    def update(self, now_s: float, inputs: Iterable[Input] = ()) -> Update:
        """now_s: any seconds that never go back."""
        self._run.now_s = now_s
        for given in inputs:
            self._take(given)
        while self._flow is not None and self._deadline_s <= now_s:
            self._go_on(None)
        outputs, self._run.out = tuple(self._run.out), []
        return Update(outputs, None if self._deadline_s == FOR_EVER else self._deadline_s)

    def give_faults(self, given: Mapping[str, Mapping[str, Any]], now_s: float) -> Update:
        """The faults that there are now, parameters completed; those of other devices are ignored."""
        self._run.faults.update(given)
        self._run.port.plugged = not self._run.faults.has("node.dead_nic")
        return self.update(now_s, (FaultsChanged(),))

    def passes(self, now_s: float) -> bool:
        """Whether its NIC sends and receives: asked by whoever models what runs on it."""
        return self.on and self._run.port.passes(now_s)

    def _take(self, given: Input) -> None:
        match given:
            case PowerOn() if not self.on:
                self.on = True
                self._run.port.link_up(self._run.now_s)
                self._run.out.append(Began())
                self._flow = self._life()
                self._go_on(None)
            case PowerOff() if self.on:
                self._run.out.append(Stopped("switched off"))
                self.on, self.running, self.refused, self.root = False, None, "", ""
                self._run.address, self._flow, self._deadline_s = "", None, FOR_EVER
            case PowerOn() | PowerOff():
                pass
            case FaultsChanged():
                self._go_on(given)
            case _:
                if self._run.passes():
                    self._go_on(given)

    def _go_on(self, given: Input | None) -> None:
        if self._flow is None:
            return
        try:
            self._deadline_s = self._flow.send(given)
        except StopIteration:
            self._flow, self._deadline_s = None, FOR_EVER

    def _life(self) -> Flow[None]:
        run = self._run
        run.mac, run.address = self.mac, ""
        run.say(f"TILEPro64: {MESH[0] * MESH[1]} tiles, {MESH[0]}x{MESH[1]} mesh, 16218 MB")
        yield from run.sleep(run.timing.post_s)
        yield from run.gate("firmware")
        lease, kernel = yield from self._loaded()
        yield from self._check("kernel", lease.boot_file or "CompactFlash", kernel)
        run.say("Linux version (tilepro)")
        yield from run.gate("kernel")
        yield from run.sleep(run.faults.post_s(run.timing.os_s))
        if not lease.root_path and self._address_by is AddressBy.BOOTP:
            # Its loader's reply has room for 64 bytes of options. Its kernel's own words say ip=dhcp.
            lease = yield from self._leased_by_kernel()
        if not lease.root_path:
            yield from self._refuse("VFS: Unable to mount root fs: DHCP named no root path (option 17)")
        yield from self._mount(lease.root_path)
        self.root = lease.root_path
        self.running = Started(SystemKind.INSTANCE, "tilepro64", run.mac, run.address)
        run.say(f"xgbe0: {run.address}, the monitor listens")
        run.out.append(self.running)

    def _loaded(self) -> Flow[tuple[Lease, bytes]]:
        """Its address, where its root is, and the first bytes of its kernel."""
        run = self._run
        while True:
            lease = yield from self._lease()
            if isinstance(lease, Failure):
                run.say(f"booter: {lease.why}")
                yield from run.sleep(RETRY_S)
                continue
            if self._flash is not None:
                return Lease(lease.address, lease.server, "", lease.root_path), self._flash
            yield from run.gate("loader")
            fetched = yield from net_client.tftp(run, lease.server, lease.boot_file, TILE_TFTP_S)
            if isinstance(fetched, Body):
                run.say(f"booter: {lease.boot_file}, {fetched.size_bytes} bytes")
                return lease, fetched.head
            run.say(f"booter: {lease.boot_file}: {fetched.why}")
            yield from run.sleep(RETRY_S)

    def _leased_by_kernel(self) -> Flow[Lease]:
        while True:
            lease = yield from net_client.lease(self._run, DhcpClient(None, CLIENT, TILE_DHCP_S, boots=False))
            if isinstance(lease, Lease):
                return lease
            self._run.say(f"IP-Config: {lease.why}")
            yield from self._run.sleep(RETRY_S)

    def _lease(self) -> Flow[Lease | Failure]:
        boots = self._flash is None
        if self._address_by is AddressBy.BOOTP:
            return (yield from net_client.bootp_lease(self._run, TILE_DHCP_S, boots=boots))
        client = DhcpClient(None, CLIENT, TILE_DHCP_S, boots=boots)
        return (yield from net_client.lease(self._run, client))

    def _mount(self, root: str) -> Flow[None]:
        if why := misfit(root):
            yield from self._refuse(f"VFS: Unable to mount root fs via NFS: {why}")
        why = ""
        for file in INITS:
            head = yield from net_client.nfs(self._run, root, file, TILE_NFS_S)
            if isinstance(head, bytes):
                self._run.say(f"VFS: Mounted root (nfs filesystem) from {root}")
                yield from self._check("init", file, head)
                return
            why = head.why
        yield from self._refuse(f"No init found on {root}: {why}")

    def _check(self, part: str, name: str, head: bytes) -> Flow[None]:
        machine = X86_64 if self._run.faults.wrong_image(part) else machine_of(head)
        if machine != TILEPRO:
            yield from self._refuse(
                f"{part} {name} is {told(machine)}, not ELF machine {TILEPRO} (TILEPro): not started"
            )

    def _refuse(self, why: str) -> Flow[None]:
        self.refused = why
        self._run.say(why)
        yield from self._run.stop(why)
