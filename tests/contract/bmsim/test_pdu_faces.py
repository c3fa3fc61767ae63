"""What else a PDU does than answer SNMP: a console for people, traps, and what befalls its mains."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyasn1.codec.ber import decoder
from pysnmp.proto.api import v2c

from bmsim.faces.telnet import heard
from provisioner.core.pdus.families import FAMILIES
from tests.contract.drivers.pdu import PASSWORD, READ, WRITE, Pdu, running_pdu
from tests.machine.commands import eventually

pytestmark = pytest.mark.wire
DEADLINE_S = 30.0
SYS_UP_TIME = (1, 3, 6, 1, 2, 1, 1, 3, 0)
SNMP_TRAP_OID = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
"""SNMPv2-MIB, RFC 3418."""

ATEN_PENDING = 3


@pytest.fixture
def traps() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(DEADLINE_S)
        yield listening


@contextmanager
def telling(
    folder: Path, traps: socket.socket, family: str = "apc_rackpdu", outlets: int = 4, **timing: float
) -> Iterator[Pdu]:
    """A PDU that tells `traps` of changes, its outlets one second apart when mains come back, unless `timing`
    says otherwise."""
    host, port = traps.getsockname()
    timing = {"sequence_s": 1.0, **timing}
    told = {"traps_to": [f"{host}:{port}"]}
    with running_pdu(folder, family, outlets, snmp=told, timing=timing) as pdu:
        yield pdu


def trap(traps: socket.socket) -> dict[tuple[int, ...], object]:
    """The objects of the next one."""
    message, _ = decoder.decode(traps.recv(4096), asn1Spec=v2c.Message())
    assert bytes(v2c.apiMessage.get_community(message)) == READ.encode()
    objects = v2c.apiPDU.get_varbinds(v2c.apiMessage.get_pdu(message))
    return {tuple(oid): value for oid, value in objects}


@pytest.mark.parametrize("family", ["apc_rackpdu", "eatonpower"])
def test_each_change_of_an_outlet_is_told_by_a_trap(
    tmp_path: Path, traps: socket.socket, family: str
) -> None:
    known = FAMILIES[family]
    # Of two objects that tell a state, APC's agent names the one that is written.
    state = known.oid(known.state, 2)
    with telling(tmp_path, traps, family) as pdu:
        for order, values in (("off", known.when_off), ("on", known.when_on)):
            pdu.ask(do="order", outlet=2, order=order)
            told = trap(traps)
            assert int(str(told[state])) in values
            # RFC 3416 §4.2.6
            assert list(told) == [SYS_UP_TIME, SNMP_TRAP_OID, state]


def ticks(pdu: Pdu) -> int:
    """Its sysUpTime, as it answers."""
    words = ("snmpget", "-v2c", "-c", READ, "-Oqvt", f"127.0.0.1:{pdu.port}", "1.3.6.1.2.1.1.3.0")
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def test_a_trap_tells_how_long_the_pdu_has_run(tmp_path: Path, traps: socket.socket) -> None:
    """What its agent answers; since it has power, not since its process runs."""

    def told(order: str) -> int:
        pdu.ask(do="order", outlet=1, order=order)
        value = trap(traps)[SYS_UP_TIME]
        assert isinstance(value, v2c.TimeTicks)
        return int(value)

    with telling(tmp_path, traps) as pdu:
        eventually("half a second", lambda: ticks(pdu) >= 50, DEADLINE_S, 0.1)
        least = ticks(pdu)
        assert least <= told("off") <= ticks(pdu)
        pdu.ask(do="mains", on=False)
        back_s = time.monotonic()
        pdu.ask(do="mains", on=True)
        assert told("on") <= (time.monotonic() - back_s) * 100


def test_a_pdu_without_mains_tells_nobody_what_became_of_a_command(
    tmp_path: Path, traps: socket.socket
) -> None:
    """The outlet that was on its way is back where it was: told when the PDU has power again."""
    known = FAMILIES["aten"]
    state = known.oid(known.state, 1)
    with telling(tmp_path, traps, "aten", off_s=3600.0) as pdu:
        eventually("half a second", lambda: ticks(pdu) >= 50, DEADLINE_S, 0.1)
        pdu.ask(do="order", outlet=1, order="off")
        assert trap(traps)[state] == ATEN_PENDING
        pdu.ask(do="mains", on=False)
        back_s = time.monotonic()
        pdu.ask(do="mains", on=True)
        told = trap(traps)
        assert int(str(told[SYS_UP_TIME])) <= (time.monotonic() - back_s) * 100
        assert int(str(told[state])) in known.when_on


def test_traps_come_in_the_order_of_the_changes(tmp_path: Path, traps: socket.socket) -> None:
    """All outlets but the first wait for their turn when mains are back, and are told in one go."""
    aten = FAMILIES["aten"]
    outlets = range(2, 9)
    states = [aten.oid(aten.state, outlet) for outlet in outlets]
    with telling(tmp_path, traps, "aten", 8, sequence_s=3600.0) as pdu:
        for _ in range(5):
            pdu.ask(do="mains", on=False)
            pdu.ask(do="mains", on=True)
            assert [list(trap(traps))[-1] for _ in outlets] == states
            for outlet, state in zip(outlets, states, strict=True):
                pdu.ask(do="order", outlet=outlet, order="on")
                assert int(str(trap(traps)[state])) in aten.when_on


def test_a_pdu_without_mains_feeds_nothing_and_outlets_come_back_one_after_the_other(
    tmp_path: Path, traps: socket.socket
) -> None:
    with telling(tmp_path, traps, sequence_s=3.0) as pdu:
        pdu.ask(do="order", outlet=2, order="off")
        pdu.ask(do="mains", on=False)
        assert not any(pdu.fed(outlet) for outlet in (1, 2, 3, 4))
        asked = subprocess.run(
            (
                "snmpget",
                "-v2c",
                "-c",
                READ,
                "-t",
                "0.2",
                "-r",
                "0",
                f"127.0.0.1:{pdu.port}",
                "1.3.6.1.2.1.1.2.0",
            ),
            capture_output=True,
            text=True,
        )
        assert "Timeout" in asked.stderr, "its own electronics have no power either"
        pdu.ask(do="mains", on=True)
        assert pdu.fed(1)
        assert not pdu.fed(4), "loads that start at once would be too much for the mains"
        eventually("outlet 4 is on", lambda: pdu.fed(4), DEADLINE_S, 0.1)
        assert [pdu.fed(outlet) for outlet in (1, 2, 3, 4)] == [True, False, True, True]


def test_a_welded_outlet_has_power_as_soon_as_mains_are_back(tmp_path: Path) -> None:
    with running_pdu(tmp_path, restore="off", timing={"sequence_s": 3600.0}) as pdu:
        pdu.faults({"pdu.outlet_stuck": {}}, "n2")
        pdu.ask(do="mains", on=False)
        assert not any(pdu.fed(outlet) for outlet in (1, 2, 3, 4))
        pdu.ask(do="mains", on=True)
        assert [pdu.fed(outlet) for outlet in (1, 2, 3, 4)] == [False, True, False, False]
        assert pdu.state(2) == "on"


def strikes(pdu: Pdu) -> int:
    """How many messages a fault has struck."""
    return [entry.command for entry in pdu.received()].count("struck")


def test_a_message_that_waits_while_mains_go_is_lost_with_them(tmp_path: Path) -> None:
    """Of each face: a dead PDU neither answers nor switches."""
    object_of_2 = "1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.2"
    with running_pdu(tmp_path) as pdu:
        pdu.faults({"pdu.slow_queue": {"each_s": 10}})
        # It gives up when the PDU has come to both messages.
        words = ("snmpset", "-v2c", "-c", WRITE, "-t", "22", "-r", "0", f"127.0.0.1:{pdu.port}", object_of_2)
        asked = subprocess.Popen((*words, "i", "2"), stderr=subprocess.PIPE, text=True)
        with socket.create_connection(("127.0.0.1", pdu.http_port)) as web:
            web.sendall(b"POST /outlets/3/off HTTP/1.1\r\nHost: pdu\r\nAuthorization: Bearer ")
            web.sendall(PASSWORD.encode() + b"\r\n\r\n")
            eventually("both messages have come", lambda: strikes(pdu) == 2, DEADLINE_S, 0.1)
            pdu.ask(do="mains", on=False)
            assert "no mains" in pdu.ask(do="order", outlet=4, order="off")["error"]
            assert "Timeout" in asked.communicate(timeout=2 * DEADLINE_S)[1]
            pdu.ask(do="mains", on=True)
            assert [pdu.state(outlet) for outlet in (2, 3, 4)] == ["on"] * 3


def test_a_person_switches_outlets_by_telnet(tmp_path: Path) -> None:
    with running_pdu(tmp_path) as pdu, socket.create_connection(("127.0.0.1", pdu.console_port)) as person:
        person.settimeout(DEADLINE_S)
        lines = person.makefile("rb")
        # As telnet(1) opens a conversation: DO SUPPRESS GO AHEAD, WILL NAWS; then its lines end in CR LF.
        person.sendall(b"\xff\xfd\x03\xff\xfb\x1f" + PASSWORD.encode() + b"\r\n")
        assert lines.readline().startswith(b"\xff\xfc\x03\xff\xfe\x1fshow, on N")
        person.sendall(b"off 3\r\noff 9\r\nshow\r\n")
        assert lines.readline() == b"done\r\n"
        assert b"no outlet 9" in lines.readline()
        assert lines.readline() == b"1 on; 2 on; 3 off; 4 on\r\n"
        assert not pdu.fed(3)
        with socket.create_connection(("127.0.0.1", pdu.console_port)) as stranger:
            stranger.settimeout(DEADLINE_S)
            stranger.sendall(b"not-this-one\r\non 3\r\n")
            assert stranger.recv(100) == b"", "it hangs up"
        assert not pdu.fed(3)
        said = [
            (entry.command, entry.result) for entry in pdu.received() if entry.command.startswith("console")
        ]
        assert ("console.login", "refused: wrong password") in said


@pytest.mark.parametrize(
    ("said", "text", "answer"),
    [
        (b"show\r\n", b"show", b""),
        (b"on\xff\xf1 3\r\x00", b"on 3", b""),
        (b"\xff\xfa\x18\x00vt100\xff\xf0off 3\n", b"off 3", b""),
        (b"\xff\xfc\x01\xff\xfe\x01x\n", b"x", b""),
        (b"a\xff\xffb\n", b"a\xffb", b""),
        (b"\xff\xfb\x18\xff\xfd\x01\n", b"", b"\xff\xfe\x18\xff\xfc\x01"),
    ],
)
def test_telnets_own_words_are_told_from_text(said: bytes, text: bytes, answer: bytes) -> None:
    assert heard(said) == (text, answer)
