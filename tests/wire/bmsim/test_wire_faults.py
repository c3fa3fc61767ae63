"""What a rack loses on its management wires: the same messages each time, one way or both, until healed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bmsim.api import RunningRack
from bmsim.rack.errors import RackError
from tests.wire.bmsim.conftest import BMC_PASSWORD, rack_file
from tests.wire.bmsim.traces import eventually

pytestmark = [pytest.mark.wire, pytest.mark.rack]

PDUS = {"a": "10.78.0.201", "b": "10.78.0.202"}
OUTLET_1 = "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.1"

PATIENCE_S = 20
"""With what has to answer, on a machine that stands still for seconds."""


def patience_s(answers: bool) -> int:
    return PATIENCE_S if answers else 1


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRack]:
    """n1 has a BMC, n2 hangs on PDU a, n3 on b."""
    nodes = [*rack_file()["nodes"], on_outlet(2, "a"), on_outlet(3, "b")]
    pdus = [{"name": name, "family": "apc_rackpdu", "address": address} for name, address in PDUS.items()]
    with RunningRack.up(
        {**rack_file(), "nodes": nodes, "pdus": pdus}, tmp_path_factory.mktemp("wires")
    ) as running:
        yield running


def on_outlet(number: int, pdu: str) -> Mapping[str, Any]:
    return {
        "name": f"n{number}",
        "memory_mib": 256,
        "disks": [{"size_mib": 64}],
        "nics": [{"mac": f"52:54:00:77:00:0{number}"}],
        "outlets": [{"pdu": pdu, "outlet": 1}],
    }


@pytest.fixture(autouse=True)
def healed(rack: RunningRack) -> Iterator[None]:
    yield
    for target in ("n1", "n2", "ch1"):
        rack.heal(target)


def asks(rack: RunningRack, *, tries: int = 1, wait_s: int = 1, host: str = "ch1") -> bool:
    """Whether the BMC answers ipmitool on a compute host, which sends each message so many times and waits
    so long after each."""
    argv = ["ipmitool", "-I", "lanplus", "-H", "10.78.0.101", "-U", "admin", "-E", "-C", "3"]
    argv += ["-N", str(wait_s), "-R", str(tries), "power", "status"]
    environment = {**os.environ, "IPMI_PASSWORD": BMC_PASSWORD}
    done = rack.run(host, argv, capture_output=True, text=True, env=environment, check=False)
    return done.returncode == 0


def snmp(rack: RunningRack, pdu: str, *value: str, wait_s: int = 1) -> bool:
    """Whether a PDU answers one message. value: what its outlet is to be set to."""
    words = ["snmpset" if value else "snmpget", "-v2c", "-c", "private", "-t", str(wait_s), "-r", "0"]
    argv = [*words, PDUS[pdu], OUTLET_1, *value]
    return rack.run("ch1", argv, capture_output=True, text=True, check=False).returncode == 0


def reaches(rack: RunningRack, address: str, *, wait_s: int = 1, host: str = "ch1") -> bool:
    """Whether it says so when nobody listens there."""
    connect = f"import socket; socket.create_connection(('{address}', 9), timeout={wait_s})"
    done = rack.run(host, ["python3", "-c", connect], capture_output=True, text=True, check=False)
    return "ConnectionRefusedError" in done.stderr


def struck(rack: RunningRack, fault: str) -> int:
    """How many messages it has lost so far."""
    return sum(
        int(entry.args["packets"])
        for entry in rack.received()
        if (entry.device, entry.command, entry.args.get("fault")) == ("fault", "struck", fault)
    )


@pytest.mark.parametrize("direction", ["both", "to_node", "to_host"])
def test_a_partition_cuts_the_bmc_off_until_it_heals(direction: str, rack: RunningRack) -> None:
    before = struck(rack, "net.partition")
    sessions = len(rack.received())
    rack.inject("n1", "net.partition", direction=direction)
    assert not asks(rack)
    eventually("it is written down", lambda: struck(rack, "net.partition") > before)
    # What asks whether anybody is there may be heard; where no answer comes, nothing follows it.
    heard = {entry.command for entry in rack.received()[sessions:] if entry.device == "bmc"}
    assert heard <= ({"channel.auth_capabilities"} if direction == "to_host" else set())
    rack.heal("n1", "net.partition")
    assert asks(rack, wait_s=PATIENCE_S)


def test_a_partition_of_another_protocol_leaves_the_bmc_alone(rack: RunningRack) -> None:
    rack.inject("n1", "net.partition", protocols=["dhcp", "tftp", "http"])
    assert asks(rack, wait_s=PATIENCE_S)


def test_the_message_of_one_number_is_lost_and_the_next_try_is_answered(rack: RunningRack) -> None:
    before = struck(rack, "net.drop")
    rack.inject("n1", "net.drop", nth=1, protocols=["ipmi"], direction="to_node")
    assert asks(rack, tries=4, wait_s=5)
    rack.heal("n1", "net.drop")
    assert struck(rack, "net.drop") == before + 1


def test_the_same_seed_loses_the_same_messages(rack: RunningRack) -> None:
    def pattern(seed: int) -> tuple[str, int]:
        """Which of a hundred datagrams come through to the BMC's side, as the counter tells."""
        before = struck(rack, "net.drop")
        rack.inject("n1", "net.drop", probability=0.3, seed=seed, protocols=["ipmi"], direction="to_node")
        send = (
            "import socket; s = socket.socket(type=socket.SOCK_DGRAM);"
            "[s.sendto(b'x', ('10.78.0.101', 623)) for _ in range(100)]"
        )
        rack.run("ch1", ["python3", "-c", send], check=True)
        rules = ["nft", "list", "table", "bridge", "bmsim-n1-net-drop"]
        text = subprocess.run(
            ["nsenter", "-t", str(rack.state.supervisor()), "-n", *rules],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        numbers = text.partition("mod 1024")[2].partition("}")[0]
        rack.heal("n1", "net.drop")
        return numbers, struck(rack, "net.drop") - before

    first, again, other = pattern(7), pattern(7), pattern(8)
    assert first == again
    assert 10 < first[1] < 50
    assert other[0] != first[0]


@pytest.mark.parametrize("given", [{}, {"protocols": ["snmp"]}])
def test_a_node_is_cut_off_with_the_pdu_that_it_hangs_on_until_it_heals(
    given: Mapping[str, Any], rack: RunningRack
) -> None:
    before = struck(rack, "net.partition")
    rack.inject("n2", "net.partition", **given)
    assert not snmp(rack, "a")
    assert snmp(rack, "b", wait_s=PATIENCE_S)
    assert asks(rack, wait_s=PATIENCE_S)
    eventually("it is written down", lambda: struck(rack, "net.partition") > before)
    rack.heal("n2", "net.partition")
    assert snmp(rack, "a", wait_s=PATIENCE_S)


def test_a_partition_of_another_protocol_leaves_the_pdu_alone(rack: RunningRack) -> None:
    rack.inject("n2", "net.partition", protocols=["ipmi", "dhcp", "tftp", "http", "agent", "iscsi", "ssh"])
    assert snmp(rack, "a", wait_s=PATIENCE_S)


@pytest.mark.parametrize(("direction", "carried_out"), [("to_node", False), ("to_host", True)])
def test_of_what_is_told_to_a_pdu_the_command_is_lost_or_its_answer(
    direction: str, carried_out: bool, rack: RunningRack
) -> None:
    def switched() -> int:
        return sum(entry.node == "n2" and entry.command == "outlet.off" for entry in rack.received())

    before, lost = switched(), struck(rack, "net.drop")
    rack.inject("n2", "net.drop", nth=1, protocols=["snmp"], direction=direction)
    assert not snmp(rack, "a", "i", "2")
    if carried_out:
        eventually("it is carried out", lambda: switched() == before + 1)
    assert snmp(rack, "a", "i", "2", wait_s=PATIENCE_S)
    eventually("so is the next", lambda: switched() == before + 1 + carried_out)
    rack.heal("n2", "net.drop")
    assert struck(rack, "net.drop") == lost + 1


@pytest.mark.parametrize(
    ("cut_off_from", "bmc", "by_management", "by_provisioning"),
    [("nodes", False, True, False), ("store", True, False, False), ("both", False, False, False)],
)
def test_a_compute_host_is_cut_off_from_what_was_said_and_no_other_is(
    cut_off_from: str, bmc: bool, by_management: bool, by_provisioning: bool, rack: RunningRack
) -> None:
    before = struck(rack, "host.partition")
    rack.inject("ch1", "host.partition", **{"from": cut_off_from})
    assert asks(rack, wait_s=patience_s(bmc)) is bmc
    assert [snmp(rack, pdu, wait_s=patience_s(bmc)) for pdu in PDUS] == [bmc, bmc]
    assert reaches(rack, "10.78.0.11", wait_s=patience_s(by_management)) is by_management
    assert reaches(rack, "10.77.0.11", wait_s=patience_s(by_provisioning)) is by_provisioning
    assert asks(rack, wait_s=PATIENCE_S, host="ch2")
    eventually("it is written down", lambda: struck(rack, "host.partition") > before)
    rack.heal("ch1", "host.partition")
    assert asks(rack, wait_s=PATIENCE_S)
    assert all(reaches(rack, address, wait_s=PATIENCE_S) for address in ("10.78.0.11", "10.77.0.11"))


def test_a_one_way_partition_lets_commands_out_and_no_answers_in(rack: RunningRack) -> None:
    before = struck(rack, "host.partition")
    rack.inject("ch1", "host.partition", **{"from": "nodes", "one_way": True})
    assert not asks(rack)
    eventually("its answers were lost", lambda: struck(rack, "host.partition") > before)


def test_what_a_fault_strikes_is_held_against_its_target(rack: RunningRack) -> None:
    with pytest.raises(RackError, match=r"host\.partition strikes a host, and n1 is a node"):
        rack.inject("n1", "host.partition")
    with pytest.raises(RackError, match=r"net\.drop strikes a node, and ch1 is a compute host"):
        rack.inject("ch1", "net.drop")
    with pytest.raises(RackError, match="no node or compute host ch9"):
        rack.inject("ch9", "net.drop")


@pytest.mark.parametrize("fault", ["host.kill", "agent.twice", "net.delay"])
def test_what_is_not_the_racks_to_bring_about_is_refused(fault: str, rack: RunningRack) -> None:
    with pytest.raises(RackError, match=f"{fault} can't be injected into a rack"):
        rack.inject("n1", fault)
