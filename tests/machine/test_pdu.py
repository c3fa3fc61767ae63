"""Machines that are switched by outlets of PDUs, from the request to a login, and back to a clean disk."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.machine.commands import DEADLINES_S, eventually
from tests.machine.lab import Lab
from tests.machine.racks import board, on_outlets, pdu

pytestmark = pytest.mark.machine

NewLab = Callable[..., Lab]

SETTINGS = {"power": {"discharge_s": 1}, "deploy": {"running_deadline_s": 120, "boot_deadline_s": 180}}
"""QEMU has no capacitors. A node that is said to be on, and is not, is waited for as long as a boot takes."""


def switched(lab: Lab, *commands: str) -> list[tuple[str, str]]:
    """(PDU, command), in order."""
    return [
        (entry["args"]["pdu"], entry["command"])
        for entry in lab.audit()
        if entry["device"] == "pdu" and entry["command"] in commands
    ]


def struck(lab: Lab, fault: str) -> bool:
    return any(entry["command"] == "struck" and entry["args"]["fault"] == fault for entry in lab.audit())


def snmpset(lab: Lab, address: str, oid: str, value: int) -> None:
    lab.execute("snmpset", "-v2c", "-c", "private", address, oid, "i", str(value))


def running(lab: Lab) -> bool:
    return "running" in lab.execute("virsh", "domstate", "n1")


def test_a_node_with_two_supplies_outlives_one_and_is_off_when_both_are(new_lab: NewLab) -> None:
    pdus = [pdu("a", "apc_rackpdu"), pdu("b", "servertech_sentry4", 2)]
    lab = new_lab(on_outlets(("a", 1), ("b", 2)), pdus=pdus, **SETTINGS).ready("tiny")
    address = lab.runs("web", "tiny")
    booted = lab.boot_id(address)
    snmpset(lab, "10.78.0.201", "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.1", 2)
    eventually("outlet off", lambda: ("a", "outlet.off") in switched(lab, "outlet.off"), DEADLINES_S["step"])
    assert lab.boot_id(address) == booted
    assert running(lab)
    lab.ends("web")
    eventually("it is off", lambda: not running(lab), DEADLINES_S["step"])
    last = dict(switched(lab, "outlet.on", "outlet.off"))
    assert last == {"a": "outlet.off", "b": "outlet.off"}


@pytest.mark.parametrize(
    "faults",
    [
        # Before the boot of the ramdisk, and before that of the instance.
        [("pdu.unreachable",), ("pdu.outlet_stuck",)],
        pytest.param([("pdu.outlet_stuck", "tells_command=true")], marks=pytest.mark.full),
    ],
    ids=["unreachable, then stuck", "stuck, and lies"],
)
def test_a_pdu_that_fails_in_mid_deploy_delays_it_and_no_more(
    new_lab: NewLab, faults: list[tuple[str, ...]]
) -> None:
    lab = new_lab(board("armhf"), pdus=[pdu("a", "apc_rackpdu")], **SETTINGS).ready("tiny-armhf")
    before = lab.newest_event()
    for number, (fault, *parameters) in enumerate(faults):
        if number == 0:
            lab.rack("fault", "n1", fault, *parameters)
            lab.deploy("web", "tiny-armhf")
        else:
            lab.step_begins("write_image", after=before)
            lab.rack("fault", "n1", fault, *parameters)
        eventually(f"{fault} strikes", lambda fault=fault: struck(lab, fault), DEADLINES_S["step"])
        lab.rack("heal", "n1")
    address = lab.instance_becomes("active", "web")["address"]
    assert lab.ssh(address, "hostname").strip() == "web"
