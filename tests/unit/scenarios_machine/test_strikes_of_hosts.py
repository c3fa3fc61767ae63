"""What befalls a process of the provisioner on a machine: only one that is there to be struck."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from scenarios.runner.machine.striking import Striking
from scenarios.runner.stage import Order


class Process:
    def __init__(self) -> None:
        self.alive = True
        self.frozen = False
        self.starts = 1

    async def kill(self) -> bool:
        was, self.alive, self.frozen = self.alive, False, False
        return was

    def end(self, *, at_once: bool) -> bool:
        return self.alive

    def freeze(self, *, unguarded: bool) -> None:
        assert self.alive
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False

    def start(self) -> None:
        assert not self.alive, "there are two of it"
        self.alive = True
        self.starts += 1


class Provisioner:
    def __init__(self) -> None:
        self.hosts = {"ch1": Process()}

    async def has_ended(self, host: str) -> None:
        self.hosts[host].alive = False


class Lab:
    def __init__(self) -> None:
        self.provisioner = Provisioner()
        self.struck: list[str] = []
        none = cast(Any, None)
        self._striking = Striking(none, cast(Any, self.provisioner), none, (), (), 0, self._note)

    def _note(self, source: str, name: str, host: str, **detail: str) -> None:
        if (source, name) == ("fault", "struck"):
            self.struck.append(detail["fault"])

    def injects(self, *faults: str) -> None:
        for fault in faults:
            asyncio.run(self._striking.inject(order(fault)))

    def heals(self, *faults: str) -> None:
        for fault in faults:
            asyncio.run(self._striking.heal(order(fault)))


def order(fault: str) -> Order:
    return Order(fault=fault, host="ch1", parameters={"unguarded": False, "at_once": False})


@pytest.mark.parametrize(
    ("faults", "struck"),
    [
        (("host.kill", "host.kill"), ["host.kill"]),
        (("host.kill", "host.stop"), ["host.kill"]),
        (("host.kill", "host.restart"), ["host.kill"]),
        (("host.stop", "host.stop"), ["host.stop"]),
        (("host.stop", "host.kill"), ["host.stop", "host.kill"]),
        (("host.kill", "host.end"), ["host.kill"]),
        (("host.end", "host.end"), ["host.end", "host.end"]),
        (("host.restart", "host.restart"), ["host.restart", "host.restart"]),
    ],
)
def test_nothing_befalls_what_is_dead_or_frozen_already(faults: Sequence[str], struck: Sequence[str]) -> None:
    lab = Lab()
    lab.injects(*faults)
    assert lab.struck == struck


def test_a_process_that_runs_again_is_not_started_beside_itself() -> None:
    lab = Lab()
    lab.injects("host.kill", "host.restart")
    lab.heals("host.restart", "host.kill")
    assert lab.provisioner.hosts["ch1"].starts == 2


def test_a_process_that_was_told_to_end_is_started_again_once_it_has() -> None:
    lab = Lab()
    lab.injects("host.end")
    assert lab.provisioner.hosts["ch1"].alive
    lab.heals("host.end")
    assert lab.provisioner.hosts["ch1"].starts == 2
