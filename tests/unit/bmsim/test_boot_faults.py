"""A boot that is to stop somewhere stops there, once in a boot, as often as it should."""

from __future__ import annotations

from typing import Any

import pytest

from bmsim.faults.catalogue import completed
from bmsim.sandbox.boot_faults import BootFaults, moment


class Machine:
    def __init__(self) -> None:
        self.did: list[str] = []
        self.struck: list[tuple[str, str]] = []
        self.faults = BootFaults(
            lambda: self.did.append("stop"),
            lambda: self.did.append("restart"),
            lambda fault, at: self.struck.append((fault, at)),
        )

    def boots(self, fault: str, **given: Any) -> list[str]:
        """What is done to it in one boot; each moment is seen twice."""
        self.did.clear()
        for at in ("firmware", "loader", "loader", "kernel", "kernel", "agent", "agent"):
            self.faults.reached(at, {fault: completed(fault, given)})
        return list(self.did)


@pytest.mark.parametrize("at", ["firmware", "loader", "kernel", "agent"])
def test_a_machine_hangs_once_in_each_boot_where_it_should(at: str) -> None:
    machine = Machine()
    assert machine.boots("node.hangs", at=at) == ["stop"]
    assert machine.boots("node.hangs", at=at) == ["stop"]
    assert machine.struck == [("node.hangs", at)] * 2


def test_a_loop_ends_after_its_count() -> None:
    machine = Machine()
    done = [machine.boots("boot.loop", count=2) for _ in range(3)]
    assert done == [["restart"], ["restart"], []]


def test_what_was_healed_begins_anew() -> None:
    machine = Machine()
    assert machine.boots("boot.loop", count=1) == ["restart"]
    machine.faults.reached("firmware", {})
    assert machine.boots("boot.loop", count=1) == ["restart"]


@pytest.mark.parametrize(
    ("device", "command", "args", "at"),
    [
        ("machine", "on", {}, "firmware"),
        ("machine", "reset", {}, "firmware"),
        ("machine", "off", {}, ""),
        ("dhcp", "discover", {"client": "PXEClient:Arch:00000:UNDI:002001"}, ""),
        ("dhcp", "discover", {"client": "iPXE"}, "loader"),
        ("http", "sent", {"file": "kernel"}, ""),
        ("tftp", "sent", {"file": "kernel"}, ""),
        ("tftp", "sent", {"file": "ramdisk"}, "kernel"),
        ("http", "sent", {"file": "ramdisk"}, "kernel"),
        ("http", "post", {"file": "hello"}, "agent"),
    ],
)
def test_how_far_a_boot_has_got_is_told_by_what_is_seen(
    device: str, command: str, args: dict[str, Any], at: str
) -> None:
    assert moment(device, command, args) == at
