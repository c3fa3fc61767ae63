"""What a rack loses on its management wires: the same messages each time, one way or both, until healed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from bmsim.api import RunningRack
from bmsim.rack.errors import RackError
from tests.wire.bmsim.conftest import BMC_PASSWORD, rack_file
from tests.wire.bmsim.traces import eventually

pytestmark = [pytest.mark.wire, pytest.mark.rack]


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRack]:
    with RunningRack.up(rack_file(), tmp_path_factory.mktemp("wires")) as running:
        yield running


@pytest.fixture(autouse=True)
def healed(rack: RunningRack) -> Iterator[None]:
    yield
    rack.heal("n1")


def asks(rack: RunningRack, *, tries: int = 1) -> bool:
    """Whether the BMC answers ipmitool, which sends each message so many times."""
    argv = ["ipmitool", "-I", "lanplus", "-H", "10.78.0.101", "-U", "admin", "-E", "-C", "3"]
    argv += ["-N", "1", "-R", str(tries), "power", "status"]
    environment = {**os.environ, "IPMI_PASSWORD": BMC_PASSWORD}
    done = rack.run("ch1", argv, capture_output=True, text=True, env=environment, check=False)
    return done.returncode == 0


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
    heard = any(entry.device == "bmc" for entry in rack.received()[sessions:])
    assert not heard
    rack.heal("n1", "net.partition")
    assert asks(rack)


def test_a_partition_of_another_protocol_leaves_the_bmc_alone(rack: RunningRack) -> None:
    rack.inject("n1", "net.partition", protocols=["dhcp", "tftp", "http"])
    assert asks(rack)


def test_the_message_of_one_number_is_lost_and_the_next_try_is_answered(rack: RunningRack) -> None:
    before = struck(rack, "net.drop")
    rack.inject("n1", "net.drop", nth=1, protocols=["ipmi"], direction="to_node")
    assert asks(rack, tries=4)
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


@pytest.mark.parametrize("fault", ["host.kill", "agent.twice", "net.delay"])
def test_what_is_not_the_racks_to_bring_about_is_refused(fault: str, rack: RunningRack) -> None:
    with pytest.raises(RackError, match=f"{fault} can't be injected into a rack"):
        rack.inject("n1", fault)
