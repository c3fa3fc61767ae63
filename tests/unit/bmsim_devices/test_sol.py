"""The line of serial over LAN: nothing lost, nothing twice, whatever the network does to packets."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmsim.devices.sol import RETRY_S, SolLine


def ack(packet: bytes, count: int | None = None) -> bytes:
    return bytes((0, packet[0], len(packet) - 4 if count is None else count, 0))


def test_a_packet_is_sent_again_until_it_is_acknowledged() -> None:
    line = SolLine()
    packet = line.send(b"login: ", 0.0)
    assert line.again(RETRY_S - 0.01) is None
    assert line.again(RETRY_S) == packet
    assert line.again(RETRY_S + 0.01) is None
    line.receive(ack(packet))
    assert line.idle
    assert line.again(1e9) is None


def test_the_rest_of_a_packet_accepted_in_part_is_sent_as_another() -> None:
    line = SolLine()
    packet = line.send(b"abcdef", 0.0)
    line.receive(ack(packet, 2))
    rest = line.again(RETRY_S)
    assert rest is not None
    assert rest[4:] == b"cdef"
    assert rest[0] != packet[0]


def test_an_acknowledgement_of_another_packet_changes_nothing() -> None:
    line = SolLine()
    packet = line.send(b"abc", 0.0)
    line.receive(bytes((0, packet[0] % 15 + 1, 3, 0)))
    assert not line.idle


def test_what_is_typed_counts_once_however_often_it_comes() -> None:
    line = SolLine()
    assert line.receive(b"\x01\x00\x00\x00ls\r").typed == b"ls\r"
    again = line.receive(b"\x01\x00\x00\x00ls\r")
    assert again.typed == b""
    assert again.answer == b"\x00\x01\x03\x00"
    assert line.receive(b"\x02\x00\x00\x00ls\r").typed == b"ls\r"


def test_a_packet_with_more_than_the_first_time_adds_what_is_new() -> None:
    line = SolLine()
    line.receive(b"\x01\x00\x00\x00l")
    assert line.receive(b"\x01\x00\x00\x00ls").typed == b"s"


def test_two_packets_at_a_time_are_an_error_of_the_caller() -> None:
    line = SolLine()
    line.send(b"a", 0.0)
    with pytest.raises(ValueError, match="one packet at a time"):
        line.send(b"b", 0.0)


@given(packet=st.binary(max_size=600))
def test_any_packet_is_survived(packet: bytes) -> None:
    SolLine().receive(packet)


@given(text=st.binary(min_size=1, max_size=3000), seed=st.integers(0, 2**16))
def test_every_character_arrives_once_over_a_network_that_loses_and_repeats(text: bytes, seed: int) -> None:
    chance = random.Random(seed)
    line, now_s = SolLine(), 0.0
    arrived, unsent, last_sequence = b"", text, 0
    while unsent or not line.idle:
        now_s += RETRY_S
        packet = line.again(now_s)
        if packet is None and line.idle and unsent:
            packet, unsent = line.send(unsent[:255], now_s), unsent[255:]
        for _ in range(chance.choice((0, 1, 1, 2))):  # lost, once, once, twice
            assert packet is not None
            if packet[0] != last_sequence:
                arrived, last_sequence = arrived + packet[4:], packet[0]
            if chance.random() < 0.7:
                line.receive(ack(packet))
    assert arrived == text
