"""What a BMC answers, byte by byte, and what it remembers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmsim.devices import ipmi_codes as ipmi
from bmsim.devices.bmc import Act, BmcState, Decision, Identity, Request, decide
from bmsim.devices.boot_flags import BootDevice

STATUS, CONTROL, SET_OPTION, GET_OPTION = 0x01, 0x02, 0x08, 0x09
SOL_ACTIVATE, SOL_DEACTIVATE = 0x48, 0x49


def chassis(state: BmcState, command: int, *data: int, now_s: float = 0.0, on: bool = False) -> Decision:
    return decide(state, Request(ipmi.CHASSIS, command, bytes(data)), now_s=now_s, on=on)


def app(state: BmcState, command: int, *data: int, session: int = 1, privilege: int = 4) -> Decision:
    request = Request(ipmi.APP, command, bytes(data), session, privilege)
    return decide(state, request, now_s=0.0, on=True)


def with_flags(first: int, selector: int, *, now_s: float = 0.0) -> BmcState:
    return chassis(BmcState(), SET_OPTION, 5, first, selector << 2, 0, 0, 0, now_s=now_s).state


def flags(state: BmcState, now_s: float = 0.0) -> bytes:
    return chassis(state, GET_OPTION, 5, 0, 0, now_s=now_s).data[2:]


def test_the_status_tells_whether_the_machine_is_on() -> None:
    assert chassis(BmcState(), STATUS, on=True).data[0] & 0x01
    assert not chassis(BmcState(), STATUS, on=False).data[0] & 0x01


@pytest.mark.parametrize(
    ("verb", "act"), [(0, Act.OFF), (2, Act.CYCLE), (3, Act.RESET), (4, Act.DIAGNOSE), (5, Act.SHUT_DOWN)]
)
def test_a_running_machine_takes_every_verb(verb: int, act: Act) -> None:
    decision = chassis(BmcState(), CONTROL, verb, on=True)
    assert (decision.code, decision.act) == (ipmi.OK, act)


@pytest.mark.parametrize("verb", [2, 3, 4, 5])
def test_what_needs_power_is_refused_while_the_machine_is_off(verb: int) -> None:
    decision = chassis(BmcState(), CONTROL, verb, on=False)
    assert (decision.code, decision.act) == (ipmi.NOT_IN_THIS_STATE, None)


@pytest.mark.parametrize(("verb", "on"), [(0, False), (1, True)])
def test_what_is_so_already_is_acknowledged_and_not_done(verb: int, on: bool) -> None:
    decision = chassis(BmcState(), CONTROL, verb, on=on)
    assert (decision.code, decision.act) == (ipmi.OK, None)


def test_an_unknown_verb_is_an_invalid_field() -> None:
    assert chassis(BmcState(), CONTROL, 9, on=True).code == ipmi.INVALID_FIELD


def test_boot_flags_are_told_as_they_were_set() -> None:
    assert flags(with_flags(0xE0, 1)) == bytes((0xE0, 0x04, 0, 0, 0))


def test_flags_for_one_boot_are_gone_after_it() -> None:
    started = chassis(with_flags(0x80, 1), CONTROL, 1).state
    assert started.flags.override is BootDevice.UNCHANGED
    assert flags(started)[0] & 0x80 == 0


def test_flags_for_all_boots_outlast_them() -> None:
    started = chassis(with_flags(0xC0, 2), CONTROL, 1).state
    assert started.flags.override is BootDevice.DISK


def test_flags_for_one_boot_count_for_60_seconds() -> None:
    state = with_flags(0x80, 1, now_s=100.0)
    assert flags(state, now_s=159.9)[0] & 0x80
    assert not flags(state, now_s=160.0)[0] & 0x80


def test_flags_for_all_boots_dont_expire() -> None:
    assert flags(with_flags(0xC0, 1), now_s=1e6)[0] & 0x80


def test_flags_dont_expire_where_parameter_3_says_so() -> None:
    forever = chassis(BmcState(), SET_OPTION, 3, 0x08).state
    state = chassis(forever, SET_OPTION, 5, 0x80, 0x04, 0, 0, 0).state
    assert flags(state, now_s=1e6)[0] & 0x80
    assert chassis(state, GET_OPTION, 3, 0, 0).data == bytes((1, 3, 0x08))


def test_a_device_that_no_machine_of_ours_has_is_refused() -> None:
    refused = chassis(BmcState(), SET_OPTION, 5, 0x80, 6 << 2, 0, 0, 0)
    assert refused.code == ipmi.INVALID_FIELD
    assert refused.state == BmcState()


def test_too_little_privilege_is_refused() -> None:
    request = Request(ipmi.CHASSIS, CONTROL, b"\x01", 1, ipmi.USER)
    assert decide(BmcState(), request, now_s=0, on=False).code == ipmi.TOO_LITTLE_PRIVILEGE


def test_the_console_has_one_session_until_it_is_deactivated() -> None:
    first = app(BmcState(), SOL_ACTIVATE, 1, 1, 0xC0, 0, 0, 0, session=7)
    assert first.act is Act.OPEN_CONSOLE
    assert app(first.state, SOL_ACTIVATE, 1, 1, 0xC0, 0, 0, 0, session=8).code == ipmi.PAYLOAD_IN_USE
    taken = app(first.state, SOL_DEACTIVATE, 1, 1, 0, 0, 0, 0, session=8)
    assert taken.act is Act.CLOSE_CONSOLE
    assert app(taken.state, SOL_DEACTIVATE, 1, 1, 0, 0, 0, 0).code == ipmi.PAYLOAD_NOT_ACTIVE


def test_the_owner_of_the_console_is_told_by_number() -> None:
    state = app(BmcState(), SOL_ACTIVATE, 1, 1, 0xC0, 0, 0, 0, session=0x01020304).state
    assert app(state, 0x4B, 1, 1).data[:4] == b"\x04\x03\x02\x01"


def test_a_restart_keeps_flags_for_all_boots_and_nothing_else() -> None:
    state = BmcState(identity=Identity(port=6230), sol_session=3)
    lasting = chassis(state, SET_OPTION, 5, 0xC0, 0x04, 0, 0, 0).state
    assert app(lasting, 0x02).state == BmcState(identity=state.identity, flags=lasting.flags)
    passing = chassis(state, SET_OPTION, 5, 0x80, 0x04, 0, 0, 0).state
    assert app(passing, 0x02).state == BmcState(identity=state.identity)


@given(netfn=st.integers(0, 63), command=st.integers(0, 255), data=st.binary(max_size=20), on=st.booleans())
def test_any_bytes_are_answered(netfn: int, command: int, data: bytes, on: bool) -> None:
    request = Request(netfn, command, data, session=1)
    decision = decide(BmcState(), request, now_s=0.0, on=on)
    assert 0 <= decision.code <= 0xFF
    name = ipmi.command_name(netfn, command, data)
    assert ipmi.result(name, decision.code)
    assert isinstance(ipmi.arguments(name, data), dict)
