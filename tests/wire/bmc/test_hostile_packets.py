"""Packets that no client sends: a BMC drops them and goes on."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.bmsim.bmc import DEADLINE_S, PASSWORD, USER, Bmc, running_bmc

pytestmark = pytest.mark.wire

HEADER = b"\x06\x00\xff\x07"
ALGORITHMS = b"".join(bytes((kind, 0, 0, 8, 1, 0, 0, 0)) for kind in range(3))
OPEN, OPENED, RAKP_1, RAKP_2, RAKP_3, RAKP_4 = range(0x10, 0x16)


def login_packet(kind: int, message: bytes) -> bytes:
    return HEADER + bytes((6, kind)) + bytes(8) + len(message).to_bytes(2, "little") + message


OPEN_SESSION = login_packet(OPEN, bytes((7, 0, 0, 0)) + b"ABCD" + ALGORITHMS)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bmc]:
    with running_bmc(tmp_path_factory.mktemp("bmc")) as running:
        yield running
        assert running.is_on()  # after all that the tests sent, read by now
        assert running.errors == ""


class Wire:
    """A client that sends what it likes."""

    def __init__(self, bmc: Bmc) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect((bmc.address, bmc.port))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, kind: int, message: bytes) -> bytes:
        """The message of the answer."""
        self.socket.send(login_packet(kind, message))
        return self.socket.recv(2000)[16:]

    def open(self) -> bytes:
        """The number of a new session."""
        self.socket.send(OPEN_SESSION)
        answer = self.socket.recv(2000)[16:]
        assert answer[1] == 0
        return answer[8:12]

    def challenge(self, number: bytes) -> bytes:
        """RAKP 2."""
        return self.ask(RAKP_1, self.rakp_1(number))

    @staticmethod
    def rakp_1(number: bytes) -> bytes:
        return bytes((8, 0, 0, 0)) + number + bytes(16) + bytes((0x14, 0, 0, len(USER))) + USER.encode()


def mutations() -> st.SearchStrategy[bytes]:
    """Packets that begin well, and then don't."""
    begun = st.sampled_from(
        [
            HEADER,
            HEADER + b"\x00" + bytes(9),
            HEADER + b"\x06\x00",
            HEADER + b"\x06\xc0",
            HEADER + b"\x06\xc1",
            HEADER + b"\x06\x12",
            OPEN_SESSION,
            OPEN_SESSION[:40],
            login_packet(RAKP_1, b"\x00" * 8),
            login_packet(RAKP_3, b"\x00" * 40),
        ]
    )
    return st.one_of(st.binary(max_size=100), st.builds(bytes.__add__, begun, st.binary(max_size=80)))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packets=st.lists(mutations(), min_size=1, max_size=5))
def test_no_packet_ends_a_bmc(shared: Bmc, packets: list[bytes]) -> None:
    with Wire(shared) as wire, Wire(shared) as other:
        for packet in packets:
            wire.socket.send(packet)
        # Answered after them, so that what isn't read yet never fills its buffer, which would lose others'.
        assert other.open()
    assert shared.process.poll() is None, shared.errors


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from([0, 1, 0x40, 0xC0, 0xC1, RAKP_1, RAKP_3]), message=st.binary(max_size=60))
def test_no_packet_of_an_open_session_ends_a_bmc(shared: Bmc, kind: int, message: bytes) -> None:
    with Wire(shared) as wire:
        number = wire.open()
        wire.socket.send(login_packet(kind, message[:4] + number + message[4:]))
        if kind not in (RAKP_1, RAKP_3):
            wire.challenge(number)
        header = HEADER + bytes((6, kind)) + number + bytes(4)
        wire.socket.send(header + len(message).to_bytes(2, "little") + message)
    assert shared.process.poll() is None, shared.errors


def test_a_bmc_that_took_all_that_still_answers(shared: Bmc) -> None:
    with Wire(shared) as wire:
        for size in (0, 1, 1400, 9000, 60000):
            wire.socket.send((HEADER + bytes(size))[:65000])
    assert shared.is_on()
    assert "malformed packet" in (shared.folder / "audit.jsonl").read_text()


def test_many_unfinished_logins_dont_lock_others_out(shared: Bmc) -> None:
    with Wire(shared) as wire:
        for _ in range(50):
            wire.open()
        assert shared.is_on()


def test_a_wrong_proof_is_refused_with_the_status_of_the_specification(shared: Bmc) -> None:
    with Wire(shared) as wire:
        number = wire.open()
        wire.challenge(number)
        answer = wire.ask(RAKP_3, bytes((9, 0, 0, 0)) + number + os.urandom(20))
        assert answer[1] == 0x0F  # table 13-15: invalid integrity check value


def test_a_session_that_there_is_not_is_refused_with_the_status_of_the_specification(shared: Bmc) -> None:
    with Wire(shared) as wire:
        assert wire.ask(RAKP_1, Wire.rakp_1(b"\x01\x02\x03\x04"))[1] == 0x02  # invalid session ID


def test_a_login_message_that_comes_twice_gets_the_same_answer(shared: Bmc) -> None:
    with Wire(shared) as wire:
        number = wire.open()
        first, second = wire.challenge(number), wire.challenge(number)
        assert first == second
        proof = hmac.digest(
            PASSWORD.encode(),
            first[8:24] + b"ABCD" + bytes((0x14, len(USER))) + USER.encode(),
            hashlib.sha1,
        )
        message = bytes((9, 0, 0, 0)) + number + proof
        once, twice = wire.ask(RAKP_3, message), wire.ask(RAKP_3, message)
        assert once == twice
        assert once[1] == 0
    assert len([entry for entry in shared.entries("session.open") if entry.result == "ok"]) >= 1


def test_another_address_cant_go_on_with_a_session(shared: Bmc) -> None:
    with Wire(shared) as wire, Wire(shared) as thief:
        number = wire.open()
        assert thief.ask(RAKP_1, Wire.rakp_1(number))[1] == 0x02


def test_the_log_of_errors_stays_empty(tmp_path: Path) -> None:
    with running_bmc(tmp_path) as fresh:
        with Wire(fresh) as wire:
            wire.socket.send(login_packet(RAKP_1, b"\x00" * 8))
            wire.socket.send(HEADER)
        assert fresh.is_on()
        assert fresh.errors == ""
