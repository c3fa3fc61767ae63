"""Each fault as a client sees it, and that healing ends it."""

from __future__ import annotations

import pytest

from tests.contract.bmsim.bmc import Bmc, eventually

pytestmark = pytest.mark.wire


def test_a_silent_bmc_answers_nothing_until_it_is_healed(bmc: Bmc) -> None:
    bmc.faults({"bmc.silent": {}})
    assert bmc.ipmitool("-N", "1", "-R", "1", "power", "status").code != 0
    assert not bmc.entries("session.open")
    bmc.faults({})
    assert bmc.is_on()


def test_a_bmc_that_falls_silent_ends_what_was_open(bmc: Bmc) -> None:
    bmc.faults({"bmc.silent": {"for_s": 1}})
    eventually(lambda: bmc.power("status").code == 0, "the BMC answers again by itself")


def test_a_changed_password_is_refused_and_healing_brings_the_old_one_back(bmc: Bmc) -> None:
    bmc.faults({"bmc.wrong_credentials": {}})
    assert "RAKP 2 HMAC is invalid" in bmc.power("status").err
    bmc.faults({})
    assert bmc.is_on()


def test_a_power_on_can_be_acknowledged_and_not_done(bmc: Bmc) -> None:
    bmc.power("off")
    bmc.faults({"bmc.ack_not_done": {"count": 1}})
    assert bmc.power("on").code == 0
    assert not bmc.is_on()
    assert bmc.power("on").code == 0
    assert bmc.is_on()


def test_a_power_off_can_be_acknowledged_at_once_and_done_later(bmc: Bmc) -> None:
    bmc.power("on")
    bmc.faults({"bmc.late": {"by_s": 8}})
    assert bmc.power("off").code == 0
    assert bmc.is_on()
    eventually(lambda: not bmc.is_on(), "what was acknowledged is done")


def test_a_power_on_during_a_shutdown_can_be_lost(bmc: Bmc) -> None:
    bmc.faults({"bmc.swallowed_in_transition": {"window_s": 60}})
    bmc.power("off")
    assert bmc.power("on").code == 0
    assert not bmc.is_on()
    bmc.faults({})
    assert bmc.power("on").code == 0
    assert bmc.is_on()


def test_a_busy_bmc_refuses_as_often_as_it_was_told(bmc: Bmc) -> None:
    bmc.faults({"bmc.busy": {"for_commands": ["chassis.power.off"], "count": 2}})
    for _ in range(2):
        answer = bmc.power("off")
        assert answer.code != 0
        assert "Node busy" in answer.err, answer
    assert bmc.is_on()
    assert bmc.power("off").code == 0
    assert [entry.result for entry in bmc.entries("chassis.power.off")] == ["0xC0 node busy"] * 2 + ["ok"]


def test_a_bmc_may_be_busy_when_it_is_told_what_is_so_already(bmc: Bmc) -> None:
    bmc.power("off")
    bmc.faults({"bmc.busy_when_reached": {}})
    for verb, is_on in (("off", False), ("on", True), ("on", True)):
        reached = bmc.is_on() is is_on
        answer = bmc.power(verb)
        assert (answer.code != 0) is reached
        assert ("Node busy" in answer.err) is reached, answer
        assert bmc.is_on() is is_on
    bmc.faults({})
    assert bmc.power("on").code == 0


def test_the_boot_device_can_be_refused_during_post(bmc: Bmc) -> None:
    bmc.faults({"bmc.boot_device_refused_during_post": {"post_s": 60}})
    assert "failed" not in bmc.ipmitool("chassis", "bootdev", "pxe").err
    bmc.power("cycle")
    assert "not supported in present state" in bmc.ipmitool("chassis", "bootdev", "pxe").err
    bmc.faults({})
    assert "not supported" not in bmc.ipmitool("chassis", "bootdev", "pxe").err


def test_the_boot_device_can_be_forgotten_at_the_boot(bmc: Bmc) -> None:
    def told() -> str:
        return bmc.ipmitool("chassis", "bootparam", "get", "5").out

    bmc.faults({"bmc.boot_device_forgotten": {"count": 1}})
    bmc.ipmitool("chassis", "bootdev", "pxe", "options=persistent")
    assert "Force PXE" in told()
    bmc.power("cycle")
    assert "Force PXE" not in told()
    bmc.ipmitool("chassis", "bootdev", "pxe", "options=persistent")
    bmc.power("cycle")
    assert "Force PXE" in told()


def test_the_power_state_can_be_a_lie(bmc: Bmc) -> None:
    bmc.faults({"bmc.lies_about_power": {}})
    assert not bmc.is_on()
    bmc.faults({})
    assert bmc.is_on()


def test_a_cold_reset_drops_the_sessions_and_is_over_by_itself(bmc: Bmc) -> None:
    assert bmc.is_on()
    bmc.faults({"bmc.cold_reset": {"silent_s": 1}})
    eventually(lambda: bool(bmc.entries("struck")), "the BMC restarts")
    eventually(lambda: bmc.power("status").code == 0, "it answers again")
    assert len(bmc.entries("struck")) == 1


def test_without_free_sessions_a_login_is_refused_at_once(bmc: Bmc) -> None:
    bmc.faults({"bmc.sessions_exhausted": {}})
    answer = bmc.power("status")
    assert answer.code != 0
    assert "insufficient resources" in answer.err.lower(), answer
    bmc.faults({})
    assert bmc.is_on()


def test_faults_that_cant_be_understood_leave_the_bmc_as_it_was(bmc: Bmc) -> None:
    (bmc.folder / "faults.json").write_text("{")
    assert bmc.is_on()
    bmc.faults({"bmc.silent": {"how_long": 3}})
    assert bmc.is_on()
    assert "bmc.silent has no parameter how_long" in bmc.errors
