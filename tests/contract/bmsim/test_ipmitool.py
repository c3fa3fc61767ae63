"""What ipmitool makes of a BMC: every command of every day."""

from __future__ import annotations

import pytest

from tests.contract.bmsim.bmc import Bmc, eventually

pytestmark = pytest.mark.wire


@pytest.fixture
def bmc(renewed_bmc: Bmc) -> Bmc:
    return renewed_bmc


@pytest.mark.parametrize("suite", [3, 17])
def test_both_cipher_suites_are_served(bmc: Bmc, suite: int) -> None:
    answer = bmc.ipmitool("power", "status", suite=suite)
    assert answer.code == 0, answer
    (opened,) = bmc.entries("session.open")
    assert opened.args == {"user": "admin", "cipher_suite": suite}


def test_the_cipher_suites_that_are_served_are_listed(bmc: Bmc) -> None:
    listed = bmc.ipmitool("channel", "getciphers", "ipmi", "1").out
    assert [line.split()[0] for line in listed.splitlines() if line[:1].isdigit()] == ["3", "17"], listed


def test_every_command_of_a_session_is_noted_with_what_comes_before_it(bmc: Bmc) -> None:
    assert bmc.ipmitool("channel", "getciphers", "ipmi", "1").code == 0
    assert [entry.result for entry in bmc.entries("channel.ciphers")] == ["ok"]
    assert bmc.ipmitool("mc", "info").code == 0
    for name in ("session.open", "session.privilege", "session.close"):
        assert [entry.result for entry in bmc.entries(name)] == ["ok", "ok"], name
    assert {entry.result for entry in bmc.entries("mc.info")} == {"ok"}
    assert bmc.entries("session.privilege")[0].args == {"data": "04"}


def test_the_best_suite_is_chosen_where_none_was_asked_for(bmc: Bmc) -> None:
    assert bmc.ipmitool("power", "status", suite=None).code == 0
    assert bmc.entries("session.open")[0].args["cipher_suite"] == 17


def test_a_suite_that_isnt_served_is_refused(bmc: Bmc) -> None:
    refused = bmc.ipmitool("power", "status", suite=1)
    assert refused.code != 0
    assert "no matching cipher suite" in refused.err.lower(), refused
    assert bmc.entries("session.open")[0].result == "refused: 0x11 no cipher suite match"


def test_power_goes_off_and_on(bmc: Bmc) -> None:
    assert bmc.is_on()
    assert bmc.power("off").code == 0
    assert not bmc.is_on()
    assert bmc.power("on").code == 0
    assert bmc.is_on()


@pytest.mark.parametrize("verb", ["cycle", "reset", "diag"])
def test_a_running_machine_still_runs_after(bmc: Bmc, verb: str) -> None:
    answer = bmc.power(verb)
    assert answer.code == 0, answer
    assert bmc.is_on()


def test_a_soft_power_off_asks_the_machine_to_shut_down(bmc: Bmc) -> None:
    assert bmc.power("soft").code == 0
    eventually(lambda: not bmc.is_on(), "the machine has shut down")


@pytest.mark.parametrize("verb", ["cycle", "reset", "soft", "diag"])
def test_what_needs_power_is_refused_while_the_machine_is_off(bmc: Bmc, verb: str) -> None:
    bmc.power("off")
    answer = bmc.power(verb)
    assert answer.code != 0
    assert "not supported in present state" in answer.err, answer
    assert not bmc.is_on()
    assert bmc.entries(f"chassis.power.{verb}")[0].result == "0xD5 not supported in present state"


@pytest.mark.parametrize(
    ("device", "selector"), [("pxe", "Force PXE"), ("disk", "default Hard-Drive"), ("cdrom", "CD/DVD")]
)
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("uefi", [False, True])
def test_a_boot_device_is_told_as_it_was_set(
    bmc: Bmc, device: str, selector: str, persistent: bool, uefi: bool
) -> None:
    options = ",".join(name for name, given in (("persistent", persistent), ("efiboot", uefi)) if given)
    words = ["chassis", "bootdev", device, *([f"options={options}"] if options else [])]
    answer = bmc.ipmitool(*words)
    assert answer.code == 0, answer
    told = bmc.ipmitool("chassis", "bootparam", "get", "5").out
    assert "Boot Flag Valid" in told
    assert selector in told
    assert ("all future boots" if persistent else "only next boot") in told
    assert ("BIOS EFI boot" if uefi else "(legacy)") in told
    (entry,) = bmc.entries("chassis.bootdev.set")
    assert (entry.args["persistent"], entry.args["uefi"]) == (persistent, uefi)


def test_a_boot_device_for_one_boot_is_gone_after_it(bmc: Bmc) -> None:
    bmc.ipmitool("chassis", "bootdev", "pxe")
    bmc.power("cycle")
    assert "Boot Flag Invalid" in bmc.ipmitool("chassis", "bootparam", "get", "5").out


def test_a_boot_device_that_the_machine_hasnt_got_is_refused(bmc: Bmc) -> None:
    answer = bmc.ipmitool("chassis", "bootdev", "bios")  # it ends well by its exit code all the same
    assert "Invalid data field" in answer.err, answer


def test_the_chassis_status_has_its_fields(bmc: Bmc) -> None:
    bmc.power("cycle")
    told = bmc.ipmitool("chassis", "status").out
    for line in (
        "System Power         : on",
        "Main Power Fault     : false",
        "Last Power Event     : command",
    ):
        assert line in told


def test_the_bmc_says_what_it_is(bmc: Bmc) -> None:
    told = bmc.ipmitool("mc", "info").out
    for line in ("IPMI Version              : 2.0", "Firmware Revision         : 1.00", "Chassis Device"):
        assert line in told
    assert "passed" in bmc.ipmitool("mc", "selftest").out
    assert "GUID Encoding : IPMI" in bmc.ipmitool("mc", "guid").out


def test_an_unknown_user_is_told_so(bmc: Bmc) -> None:
    answer = bmc.ipmitool("power", "status", user="nobody")
    assert answer.code != 0
    assert "unauthorized name" in answer.err, answer
    assert bmc.entries("session.open")[0].result == "refused: no such user"


@pytest.mark.parametrize("suite", [3, 17])
def test_a_wrong_password_is_found_out_at_once(bmc: Bmc, suite: int) -> None:
    answer = bmc.ipmitool("power", "status", password="wrong", suite=suite)
    assert answer.code != 0
    assert "RAKP 2 HMAC is invalid" in answer.err, answer
    # ipmitool leaves the BMC in the dark about it, which gives up in the end: here or in a test before.
    assert {entry.result for entry in bmc.entries("session.open")} <= {"refused: login not finished"}
    assert "wrong" not in (bmc.folder / "audit.jsonl").read_text()


def test_an_unknown_command_is_refused_and_noted_by_its_numbers(bmc: Bmc) -> None:
    answer = bmc.ipmitool("raw", "0x30", "0x12", "0x01", "0x02")
    assert "rsp=0xc1" in answer.err
    (entry,) = bmc.entries("raw.0x30.0x12")
    assert entry.result == "0xC1 invalid command"
    assert entry.args == {"data": "0102"}
    assert entry.sender.startswith("127.0.0.1:")


def test_a_command_of_the_wrong_length_is_refused(bmc: Bmc) -> None:
    assert "rsp=0xc7" in bmc.ipmitool("raw", "0x00", "0x02").err


def test_the_audit_log_never_has_a_password(bmc: Bmc) -> None:
    bmc.power("status")
    assert "correct-horse" not in (bmc.folder / "audit.jsonl").read_text() + bmc.errors


def test_sessions_that_are_closed_make_room(bmc: Bmc) -> None:
    for _ in range(20):  # more than there are slots
        assert bmc.power("status").code == 0
    assert len(bmc.entries("session.close")) == 20


def test_a_cold_reset_silences_the_bmc_and_it_comes_back_with_its_boot_device(bmc: Bmc) -> None:
    bmc.ipmitool("chassis", "bootdev", "pxe", "options=persistent")
    assert bmc.ipmitool("mc", "reset", "cold").code == 0
    eventually(lambda: bmc.power("status").code == 0, "the BMC is back")
    assert "Force PXE" in bmc.ipmitool("chassis", "bootparam", "get", "5").out
