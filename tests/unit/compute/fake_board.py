"""A board of the rack in memory, as its pings, its monitor and its SSH server show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from provisioner.core.errors import DeviceUnreachable
from provisioner.core.states import PowerState
from provisioner.drivers.fake import FakePower, FakeRack, Machine
from provisioner.protocols.board import NoBoardMonitor
from provisioner.protocols.power import Console, PowerControl

HELD_S = 3600.0
"""What a boot takes that is over when the test says so, see `BoardRack.boots_on`."""


class BoardRack(FakeRack):
    """What a board runs is gone with its power.

    hangs:  it says nothing, though it is on
    silent: its power device doesn't answer
    asked:  how often it was asked
    """

    started: tuple[str, ...] = ()
    hangs = False
    silent = False
    asked = 0

    def power(self, node_name: str, address: Mapping[str, object], secret: Mapping[str, str]) -> PowerControl:
        return BoardPower(self, node_name)

    def switch(self, machine: Machine, on: bool) -> None:
        super().switch(machine, on)
        self.started = ()

    def boots_on(self, node_name: str) -> None:
        """What took `HELD_S` is over, and takes no time from now on."""
        self.delay_s = 0.0
        machine = self.machine(node_name)
        assert machine.starting is not None
        machine.starting.cancel()
        self._started(machine)

    def _started(self, machine: Machine) -> None:
        if not self.hangs:
            super()._started(machine)


class BoardPower(FakePower):
    def __init__(self, rack: BoardRack, node_name: str) -> None:
        super().__init__(rack, node_name)
        self._board = rack

    async def power_state(self) -> PowerState:
        self._board.asked += 1
        if self._board.silent:
            raise DeviceUnreachable("ask for the power", device="BMC", answer="no answer in 1 s")
        return await super().power_state()


class FakeBoard:
    """`PingProbe`, `SshProbe` and `BoardMonitor` of machine n1. failures: of its next commands.

    ignores: a program whose commands do nothing, and end well
    root:    what it tells that it runs on; empty: what it is offered
    """

    longest_command_s = 1.0
    ignores = ""
    root = ""

    def __init__(self, rack: BoardRack) -> None:
        self._rack = rack
        self.failures = 0
        self.refuses = ""  # a program whose commands it fails
        self.commands: list[tuple[str, ...]] = []

    @property
    def _up(self) -> bool:
        return not self._rack.hangs and self._rack.machine("n1").power is PowerState.ON

    async def answers(self, address: str) -> bool:
        return self._up

    async def banner(self, address: str) -> str | None:
        return "SSH-2.0-board" if self._up and "/usr/sbin/sshd" in self._rack.started else None

    async def run(self, address: str, commands: Sequence[Sequence[str]]) -> str:
        if self.failures or not self._up:
            self.failures -= 1
            raise DeviceUnreachable("give a command", device=address, answer="no answer")
        if self.refuses in {command[0] for command in commands}:
            raise DeviceUnreachable("give a command", device=address, answer="it ended with 2")
        return "".join(self._does(tuple(command)) for command in commands)

    def _does(self, command: tuple[str, ...]) -> str:
        """What it prints."""
        if command[0] == "cat":
            entry = self._rack.machine("n1").entry
            root = self.root or (entry.nfs_source.rpartition("/")[2] if entry is not None else "")
            return self._rack.roots.folders.get(root, {}).get(command[1].lstrip("/"), f"{root}\n")
        if command[:3] == ("iptables", "-n", "-L"):
            chain = command[3]
            rules = [of for of in self.commands if of[0] == "iptables" and of[1] != "-F" and of[2] == chain]
            return f"Chain {chain} (policy ACCEPT)\ntarget\n" + "a rule\n" * len(rules)
        if command[0] != self.ignores:
            self.commands.append(command)
            self._rack.started += command[:1]
        return ""

    def console(self, address: str) -> Console:
        return NoBoardMonitor().console(address)
