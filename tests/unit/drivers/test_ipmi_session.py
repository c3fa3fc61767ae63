"""What ipmitool 1.8.19 prints, and what it means."""

from __future__ import annotations

import pytest

from provisioner.core.errors import (
    DeviceBusy,
    DeviceRefused,
    DeviceUnreachable,
    InvalidInput,
    ProvisionerError,
    WrongCredentials,
)
from provisioner.drivers.ipmi import IpmiDevices
from provisioner.drivers.ipmi_session import BmcAddress, IpmiSession
from provisioner.protocols.children import ChildResult
from provisioner.services.children import SystemChildren

ADDRESS = {"address": "10.78.0.101", "user": "admin"}
SESSION = "Error: Unable to establish IPMI v2 / RMCP+ session\n"
RAW = "Unable to send RAW command (channel=0x0 netfn=0x0 lun=0x0 cmd=0x2 rsp=0x{:02x}): {}\n"


def session() -> IpmiSession:
    address = BmcAddress.parse(ADDRESS, {})
    return IpmiSession(SystemChildren(), "BMC of n1", address, "secret", timeout_s=4)


def error(stderr: str) -> ProvisionerError:
    return session().error("set power on", ChildResult(1, "", stderr))


@pytest.mark.parametrize(
    ("stderr", "kind", "answer"),
    [
        (RAW.format(0xC0, "Node busy"), DeviceBusy, "0xC0 Node busy"),
        (RAW.format(0xC3, "Timeout"), DeviceBusy, "0xC3 Timeout"),
        (RAW.format(0xD5, "Command not supported in present state"), DeviceBusy, "0xD5 Command not"),
        (RAW.format(0xFF, "Unspecified error"), DeviceBusy, "0xFF Unspecified error"),
        (RAW.format(0xC1, "Invalid command"), DeviceRefused, "0xC1 Invalid command"),
        (RAW.format(0xCC, "Invalid data field in request"), DeviceRefused, "0xCC Invalid"),
        (RAW.format(0xD4, "Insufficient privilege level"), DeviceRefused, "0xD4 Insufficient"),
        (f"> RAKP 2 HMAC is invalid\n{SESSION}", WrongCredentials, "RAKP 2 HMAC is invalid"),
        (
            f"RAKP 2 message indicates an error : unauthorized name\n{SESSION}",
            WrongCredentials,
            "RAKP 2 message indicates an error : unauthorized name",
        ),
        (
            f"RAKP 4 message indicates an error : invalid integrity check value\n{SESSION}",
            WrongCredentials,
            "RAKP 4 message indicates",
        ),
        (
            "Error in open session response message : no matching cipher suite\n" + SESSION,
            DeviceRefused,
            "it serves none of the cipher suites",
        ),
        (
            "Error in open session response message : insufficient resources to create a session\n" + SESSION,
            DeviceBusy,
            "it has no free session",
        ),
        (
            f"> Error: no response from RAKP 1 message\n{SESSION}",
            DeviceUnreachable,
            "it answers, and falls silent at the login",
        ),
        (SESSION, DeviceUnreachable, "no answer in 4 s"),
        ("", DeviceUnreachable, "no answer in 4 s"),
    ],
)
def test_a_complaint_becomes_the_error_that_says_what_to_do(
    stderr: str, kind: type[ProvisionerError], answer: str
) -> None:
    found = error(stderr)
    assert type(found) is kind
    assert found.answer.startswith(answer)
    assert found.device == "BMC of n1"
    assert found.tried == "set power on"
    assert found.advice
    assert found.message == f"set power on on BMC of n1: {found.answer}. {found.advice}"


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (0xC0, "reset the BMC"),
        (0xC1, "newer firmware"),
        (0xCC, "locked functions"),
        (0xD4, "power.privilege"),
    ],
)
def test_what_to_do_depends_on_the_code(code: int, advice: str) -> None:
    assert advice in error(RAW.format(code, "No")).advice


def test_an_ipmitool_that_was_killed_is_told_of_as_such() -> None:
    found = session().error("set power on", ChildResult(-9, "", ""))
    assert type(found) is DeviceUnreachable
    assert found.answer == "its program was ended by signal 9"
    assert "memory may be short" in found.advice


def test_what_ipmitool_says_on_the_way_is_no_complaint() -> None:
    chatter = "Loading IANA PEN Registry...\nRunning Get VSO Capabilities\nDiscovered IPMB address 0x0\n"
    assert error(chatter + "> RAKP 2 HMAC is invalid\n" + SESSION).answer == "RAKP 2 HMAC is invalid"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"address": ""}, "power.address"),
        ({"address": "-oProxyCommand"}, "power.address"),
        ({"address": "10.0.0.1; reboot"}, "power.address"),
        ({"port": 0}, "power.port"),
        ({"port": True}, "power.port"),
        ({"port": "many"}, "power.port"),
        ({"user": "x" * 17}, "power.user"),
        ({"cipher_suites": []}, "power.cipher_suites"),
        ({"cipher_suites": [99]}, "power.cipher_suites"),
        ({"privilege": "root"}, "power.privilege"),
    ],
)
def test_an_unusable_address_is_refused_with_its_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        IpmiDevices(SystemChildren())("n1", {**ADDRESS, **change}, {"password": "p"})
    assert caught.value.field == field


@pytest.mark.parametrize("secret", [{}, {"password": "x" * 21}, {"password": "two\nlines"}])
def test_an_unusable_password_is_refused_and_not_shown(secret: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        IpmiDevices(SystemChildren())("n1", ADDRESS, secret)
    assert caught.value.field == "power.password"
    assert not any(password in str(caught.value) for password in secret.values())
