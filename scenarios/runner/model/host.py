"""A compute host of the model: its processes come and go, its name and its wires stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from provisioner.core.errors import ProvisionerError
from scenarios.runner.model.children import ModelChildren
from scenarios.runner.model.consoles import ConsoleFile
from scenarios.runner.model.defects import in_words, is_of_provisioner, leaves
from scenarios.runner.model.host_disk import HostDisk
from scenarios.runner.model.netboot import ModelNetboot
from scenarios.runner.model.provisioner_process import ProvisionerProcess, Surroundings
from scenarios.runner.processes import Process, as_world

RESTART_S = 5.0
"""A service manager starts a process again that ended by itself (systemd's Restart=on-failure)."""


class ModelHost:
    """around(sender, children): what a process of this host finds around it. note(name, what, **detail): the
    stage's record. struck(fault, name): told when a fault of the host changed something."""

    def __init__(
        self,
        name: str,
        around: Callable[[str, ModelChildren], Surroundings],
        note: Callable[..., None],
        struck: Callable[[str, str], None],
    ) -> None:
        self.name = name
        self.disk = HostDisk(lambda: struck("host.disk_full", name))
        self.console_files: dict[str, ConsoleFile] = {}
        self.nfs_silent = False
        self.process: Process | None = None
        self.provisioner: ProvisionerProcess | None = None
        self.children: ModelChildren | None = None
        self._around = around
        self._note = note
        self._struck = struck
        self._starts = 0
        self._restart: asyncio.TimerHandle | None = None
        self._told_to_end = False
        self._wanted_again = False
        """As soon as it has ended, when it was told to."""

    @property
    def alive(self) -> bool:
        """Whether its process lives; also while it is frozen."""
        return self.process is not None and self.process.alive

    @property
    def stopped(self) -> bool:
        return self.process is not None and self.process.stopped

    @property
    def netboot(self) -> ModelNetboot | None:
        """Its TFTP and HTTP servers, as long as the process lives and isn't frozen."""
        if self.process is None or not self.process.alive or self.process.stopped:
            return None
        return self.provisioner.netboot if self.provisioner is not None else None

    @property
    def nfs(self) -> ModelNetboot | None:
        """Its NFS server: a process of its own too, which the lease guard spares."""
        if self.process is None or not self.process.alive or self.provisioner is None:
            return None
        return self.provisioner.netboot

    def nfs_answers(self) -> bool:
        """Asked by each question that comes to its NFS server. What is exported there stays so."""
        if self.nfs_silent:
            self._struck("nfs.server_gone", self.name)
        return not self.nfs_silent

    @property
    def dhcp(self) -> ModelNetboot | None:
        """Its DHCP server, a process of its own: it goes on while the one that has started it is frozen."""
        if self.provisioner is None or self.children is None or not self.children.dhcp_serves:
            return None
        return self.provisioner.netboot

    @property
    def sender(self) -> str:
        """How devices name its process: one that was started again is another."""
        return self.name if self._starts == 1 else f"{self.name}#{self._starts}"

    def start(self) -> None:
        """Once it has ended, when it was told to and hasn't yet."""
        if self.process is not None and self.process.alive:
            self._wanted_again = self._told_to_end
            return
        self._starts += 1
        as_world(self._start)
        self._note(self.name, "started")

    def _start(self) -> None:
        self._restart = None
        self._told_to_end = self._wanted_again = False
        self.process = process = Process(self.sender)
        self.children = ModelChildren(process)
        self.provisioner = ProvisionerProcess(self._around(self.sender, self.children))
        running = process.start(self.provisioner.run(), name="serve")
        running.add_done_callback(lambda task: self._ended(process, task))

    def _ended(self, process: Process, task: asyncio.Task[None]) -> None:
        """By itself: it lost its lease, or was told to. A defect is told; one of the lab is the story's."""
        if task.cancelled() or not process.alive:
            return
        error = task.exception()
        process.kill()
        defects = [one for one in leaves(error) if not isinstance(one, ProvisionerError)]
        if error is not None and not all(map(is_of_provisioner, defects)):
            raise error
        for defect in defects:
            self._note(self.name, "crashed", error=in_words(defect))
        self._note(self.name, "ended")
        if self._told_to_end:
            if self._wanted_again:
                self.start()
            return
        loop = asyncio.get_running_loop()
        self._restart = as_world(loop.call_later, RESTART_S, self.start)

    def end(self, *, at_once: bool) -> None:
        """SIGTERM, or SIGINT. A frozen one hears of it when it goes on."""
        self._leave_dead()
        if self.process is not None and self.process.alive and self.provisioner is not None:
            self._told_to_end, self._wanted_again = True, False
            self.process.start(self.provisioner.end(at_once=at_once), name="signal")
            self._note(self.name, "told_to_end")

    def kill(self) -> None:
        self._leave_dead()
        if self.process is not None and self.process.alive:
            self.process.kill()
            self._note(self.name, "killed")

    def _leave_dead(self) -> None:
        """Nobody starts what has ended by itself."""
        if self._restart is not None:
            self._restart.cancel()

    def stop(self, *, unguarded: bool = False) -> None:
        if self.process is not None and self.process.alive:
            if unguarded and self.children is not None:
                self.children.kill_guard()
            self.process.stop()
            self._note(self.name, "stopped")

    def cont(self) -> None:
        if self.process is not None and self.process.stopped:
            self.process.cont()
            if self.children is not None:
                self.children.guard_again()
            self._note(self.name, "continued")
