"""Machines go on and off with the outlets that they hang on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bmsim.api import RunningRack
from bmsim.rack.errors import RackError
from tests.wire.bmsim.conftest import BMC_PASSWORD, rack_file
from tests.wire.bmsim.traces import eventually

pytestmark = [pytest.mark.wire, pytest.mark.rack]

APC = "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4"
RARITAN = "1.3.6.1.4.1.13742.6.4.1.2.1"
IBOOT_PASSWORD = "third-secret"


def machine(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "name": f"n{number}",
        "memory_mib": 256,
        "disks": [{"size_mib": 64}],
        "nics": [{"mac": f"52:54:00:77:00:0{number}"}],
        **changes,
    }


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRack]:
    """n1 and n2 on one outlet each, n3 on a PDU and the second unit of a chain (outlet 3 of both), n4 with
    its BMC on one of the first unit. Nothing hangs on c."""
    pdus = [
        {"name": "a", "family": "apc_rackpdu", "address": "10.78.0.201"},
        {"name": "b", "family": "raritan_pdu2", "address": "10.78.0.202", "units": 2},
        {"name": "c", "family": "iboot", "address": "10.78.0.203", "outlets": 1, "password": IBOOT_PASSWORD},
    ]
    bmc = {"address": "10.78.0.104", "user": "admin", "password": BMC_PASSWORD}
    nodes = [
        machine(1, outlets=[{"pdu": "a", "outlet": 1}]),
        machine(2, outlets=[{"pdu": "a", "outlet": 2}]),
        machine(3, outlets=[{"pdu": "a", "outlet": 3}, {"pdu": "b", "outlet": 11}]),
        machine(4, outlets=[{"pdu": "b", "outlet": 4}], bmc=bmc),
    ]
    spec = {**rack_file(), "pdus": pdus, "nodes": nodes}
    with RunningRack.up(spec, tmp_path_factory.mktemp("pdus")) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_it_was(rack: RunningRack) -> Iterator[None]:
    yield
    for node in ("n1", "n2", "n3"):
        rack.heal(node)
    for outlet in (1, 2, 3):
        apc(rack, outlet, 2)
    raritan(rack, 3, 0, unit=2)
    raritan(rack, 4, 1)
    runs(rack)


def snmpset(rack: RunningRack, address: str, oid: str, value: int) -> str:
    words = ("snmpset", "-v2c", "-c", "private", "-t", "1", "-r", "3", "-Oqvn", address, oid, "i", str(value))
    done = rack.run("ch1", words, capture_output=True, text=True)
    return str(done.stdout + done.stderr)


def apc(rack: RunningRack, outlet: int, value: int) -> str:
    return snmpset(rack, "10.78.0.201", f"{APC}.{outlet}", value)


def raritan(rack: RunningRack, outlet: int, value: int, *, unit: int = 1) -> str:
    return snmpset(rack, "10.78.0.202", f"{RARITAN}.2.{unit}.{outlet}", value)


def runs(rack: RunningRack, *nodes: str) -> None:
    wanted = {node: node in nodes for node in ("n1", "n2", "n3", "n4")}
    eventually(f"only {nodes or 'nothing'} runs", lambda: rack.running() == wanted)


def bmc_answers(rack: RunningRack) -> bool:
    words = ("ipmitool", "-I", "lanplus", "-N", "1", "-R", "1", "-H", "10.78.0.104", "-U", "admin", "-E")
    environment = {**os.environ, "IPMI_PASSWORD": BMC_PASSWORD}
    done = rack.run("ch1", [*words, "power", "status"], capture_output=True, text=True, env=environment)
    return done.returncode == 0


def received(rack: RunningRack, node: str, device: str, command: str) -> list[dict[str, Any]]:
    return [
        dict(entry.args)
        for entry in rack.received()
        if (entry.node, entry.device, entry.command) == (node, device, command)
    ]


def test_a_machine_without_a_bmc_runs_while_its_outlet_is_on(rack: RunningRack) -> None:
    runs(rack)
    apc(rack, 1, 1)
    runs(rack, "n1")
    apc(rack, 1, 2)
    runs(rack)
    assert {"pdu": "a", "outlet": 1} in received(rack, "n1", "pdu", "outlet.on")
    assert received(rack, "n1", "feed", "power.lost")


def test_two_feeds_are_one_too_many_to_lose(rack: RunningRack) -> None:
    apc(rack, 3, 1)
    raritan(rack, 3, 1, unit=2)
    runs(rack, "n3")
    lost = len(received(rack, "n3", "feed", "power.lost"))
    apc(rack, 3, 2)
    # Whatever follows an outlet follows in order: n1 is on after what came before it is done.
    apc(rack, 1, 1)
    runs(rack, "n1", "n3")
    assert len(received(rack, "n3", "feed", "power.lost")) == lost
    raritan(rack, 3, 0, unit=2)
    runs(rack, "n1")
    assert len(received(rack, "n3", "feed", "power.lost")) == lost + 1


def test_half_off_leaves_a_machine_on_until_it_is_mended_and_told_again(rack: RunningRack) -> None:
    apc(rack, 3, 1)
    raritan(rack, 3, 1, unit=2)
    runs(rack, "n3")
    rack.inject("n3", "pdu.half_off")
    apc(rack, 3, 2)
    raritan(rack, 3, 0, unit=2)
    struck = {"fault": "pdu.half_off", "pdu": "b", "outlet": 11}  # as bmsim counts a chain's outlets
    eventually("the fault struck", lambda: struck in received(rack, "n3", "fault", "struck"))
    runs(rack, "n3")
    rack.heal("n3")
    raritan(rack, 3, 0, unit=2)
    runs(rack)


def test_a_bmc_goes_and_comes_with_its_outlet_and_leaves_the_machine_off(rack: RunningRack) -> None:
    eventually("the BMC answers", lambda: bmc_answers(rack))
    raritan(rack, 4, 0)
    eventually("the BMC is gone", lambda: not bmc_answers(rack))
    raritan(rack, 4, 1)
    eventually("the BMC is back", lambda: bmc_answers(rack))
    runs(rack)


def test_a_welded_relay_keeps_its_machine_on_until_it_is_mended_and_told_again(rack: RunningRack) -> None:
    apc(rack, 1, 1)
    runs(rack, "n1")
    rack.inject("n1", "pdu.outlet_stuck")
    apc(rack, 1, 2)
    eventually(
        "the fault struck",
        lambda: (
            {"fault": "pdu.outlet_stuck", "pdu": "a", "outlet": 1} in received(rack, "n1", "fault", "struck")
        ),
    )
    runs(rack, "n1")
    rack.heal("n1")
    apc(rack, 1, 2)
    runs(rack)


def test_of_two_feeds_one_alone_may_have_a_fault(rack: RunningRack) -> None:
    apc(rack, 3, 1)
    raritan(rack, 3, 1, unit=2)
    runs(rack, "n3")
    rack.inject("n3", "pdu.outlet_stuck", feed=1)
    apc(rack, 3, 2)
    raritan(rack, 3, 0, unit=2)
    struck = {"fault": "pdu.outlet_stuck", "pdu": "a", "outlet": 3}
    eventually("the fault struck", lambda: struck in received(rack, "n3", "fault", "struck"))
    runs(rack, "n3")
    rack.heal("n3")
    rack.inject("n3", "pdu.outlet_stuck", feed=2)
    apc(rack, 3, 2)
    runs(rack)


def said_over_tcp(rack: RunningRack, address: str, port: int, sent: str) -> str:
    """To the compute host, until the other side hangs up. "" if nobody is there."""
    code = (
        "import socket, sys; wire = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10);"
        "wire.sendall(sys.stdin.buffer.read()); wire.shutdown(socket.SHUT_WR);"
        "sys.stdout.buffer.write(b''.join(iter(lambda: wire.recv(4096), b'')))"
    )
    argv = [sys.executable, "-c", code, address, str(port)]
    return bytes(rack.run("ch1", argv, input=sent.encode(), capture_output=True).stdout).decode()


def test_people_switch_an_outlet_by_telnet_at_the_port_of_telnet(rack: RunningRack) -> None:
    said = said_over_tcp(rack, "10.78.0.201", 23, "PASS\nshow\non 1\nquit\n")
    assert said.splitlines()[1].startswith("1 off; 2 off; ")
    assert said.splitlines()[2] == "done"
    runs(rack, "n1")


def test_the_web_switches_an_outlet_at_the_port_of_http(rack: RunningRack) -> None:
    asked = "Host: a\r\nAuthorization: Bearer PASS\r\n\r\n"
    switched = said_over_tcp(rack, "10.78.0.201", 80, f"POST /outlets/1/on HTTP/1.1\r\n{asked}")
    assert switched.startswith("HTTP/1.1 200")
    runs(rack, "n1")
    told = said_over_tcp(rack, "10.78.0.201", 80, f"GET /outlets/1 HTTP/1.1\r\n{asked}")
    assert told.splitlines()[-1] == '{"state": "on"}'


def test_an_iboot_of_a_rack_hears_its_password_and_switches_at_the_port_of_http(rack: RunningRack) -> None:
    def iboot(command: str, password: str = IBOOT_PASSWORD) -> str:
        return said_over_tcp(rack, "10.78.0.203", 80, f"\x1b{password}\x1b{command}\r").strip()

    assert [iboot(command) for command in ("f", "q", "n", "q")] == ["OFF", "OFF", "ON", "ON"]
    assert iboot("q", "wrong") == ""
    eventually("it moved", lambda: by_hand(rack, "c").splitlines()[-1].split()[1] == "on")


def by_hand(rack: RunningRack, *words: str) -> str:
    where = ("--rack", rack.state.name, "--state", rack.state.folder.parent)
    argv = [sys.executable, "-m", "bmsim", "rack", "pdu", *where, *words]
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_outlets_and_mains_are_switched_by_hand_and_come_back_as_they_were(rack: RunningRack) -> None:
    by_hand(rack, "a", "on", "1")
    runs(rack, "n1")
    by_hand(rack, "a", "mains", "off")
    runs(rack)
    assert "Timeout" in apc(rack, 2, 1)
    assert "mains are off" in by_hand(rack, "a")
    by_hand(rack, "a", "mains", "on")
    runs(rack, "n1")
    drawn = [line.split() for line in by_hand(rack, "a").splitlines()]
    assert ["1", "on", "yes", "348", "n1"] in drawn
    assert "rack has no PDU z" in by_hand(rack, "z").replace(f"rack {rack.state.name}", "rack")
    assert "there is no outlet 99" in by_hand(rack, "a", "on", "99")
    assert "neither on, off or reboot" in by_hand(rack, "a", "up", "1")


def test_a_pdu_that_is_unreachable_does_nothing_that_it_is_told(rack: RunningRack) -> None:
    rack.inject("n1", "pdu.unreachable")
    assert "Timeout" in apc(rack, 2, 1)
    runs(rack)
    rack.heal("n1")
    apc(rack, 2, 1)
    runs(rack, "n2")


def test_wrong_wiring_switches_the_neighbour_until_it_is_put_right(rack: RunningRack) -> None:
    rack.inject("n1", "pdu.wrong_wiring", other="n2")
    for node, other in (("n1", "n2"), ("n2", "n1")):
        assert {"fault": "pdu.wrong_wiring", "other": other} in received(rack, node, "fault", "struck")
    apc(rack, 1, 1)
    runs(rack, "n2")
    rack.heal("n1")
    runs(rack, "n1")


@pytest.mark.parametrize(
    ("node", "fault", "told"),
    [
        ("n1", "bmc.silent", "node n1 has none"),
        ("n1", "pdu.half_off", "needs two feeds, and node n1 hangs on one outlet"),
        ("n3", "pdu.unreachable", "of feed 3, and node n3 hangs on 2 outlets"),
        ("n1", "pdu.wrong_wiring", "n9 hangs on no outlet"),
    ],
)
def test_a_fault_of_what_a_node_does_not_have_is_refused(
    rack: RunningRack, node: str, fault: str, told: str
) -> None:
    parameters = {"pdu.wrong_wiring": {"other": "n9"}, "pdu.unreachable": {"feed": 3}}.get(fault, {})
    with pytest.raises(RackError, match=told):
        rack.inject(node, fault, **parameters)


def test_keys_of_pdus_stand_in_no_log(rack: RunningRack, tmp_path: Path) -> None:
    for log in rack.state.folder.glob("*.log"):
        assert "private" not in log.read_text()
