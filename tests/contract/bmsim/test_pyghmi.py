"""What pyghmi's client makes of a BMC: it begins with cipher suite 17, and can't log in to pyghmi's own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from bmsim.devices.bmc import EXAMPLE_ENTERPRISE
from tests.contract.bmsim.bmc import DEADLINE_S, PASSWORD, USER, Bmc

pytestmark = pytest.mark.wire


@pytest.fixture
def bmc(renewed_bmc: Bmc) -> Bmc:
    return renewed_bmc


CLIENT = """
import json, sys
from pyghmi.exceptions import IpmiException
from pyghmi.ipmi.command import Command
address, port, user, password, *calls = json.load(sys.stdin)
try:
    client = Command(address, user, password, port=port)
    said = [getattr(client, name)(*arguments) for name, *arguments in calls]
    client.ipmi_session.logout()
except IpmiException as error:
    said = str(error)
print(json.dumps(said, default=list))
"""
"""In a process of its own: pyghmi's sessions, sockets and threads are global to theirs."""


def pyghmi(bmc: Bmc, *calls: list[Any], user: str = USER, password: str = PASSWORD) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", CLIENT],
        input=json.dumps([bmc.address, bmc.port, user, password, *calls]),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    return json.loads(done.stdout)


def test_it_logs_in_with_sha256(bmc: Bmc) -> None:
    assert pyghmi(bmc, ["get_power"]) == [{"powerstate": "on"}]
    (opened,) = bmc.entries("session.open")
    assert opened.args["cipher_suite"] == 17


def test_power_goes_where_it_is_sent(bmc: Bmc) -> None:
    said = pyghmi(bmc, ["set_power", "off", 5], ["get_power"], ["set_power", "on", 5], ["get_power"])
    assert said[1] == {"powerstate": "off"}
    assert said[3] == {"powerstate": "on"}


CYCLE = ["raw_command", 0, 2, [], [2]]
"""Chassis control (IPMI 2.0 §28.3) with a value that `set_power` has no word for."""


def test_a_running_machine_is_cycled_and_runs_again(bmc: Bmc) -> None:
    said = pyghmi(bmc, CYCLE, ["get_power"])
    assert said[0]["code"] == 0
    assert said[1] == {"powerstate": "on"}
    assert [entry.result for entry in bmc.entries("chassis.power.cycle")] == ["ok"]


def test_a_machine_that_is_off_is_not_cycled(bmc: Bmc) -> None:
    said = pyghmi(bmc, ["set_power", "off", 5], CYCLE, ["get_power"])
    assert said[1]["code"] == 0xD5
    assert said[2] == {"powerstate": "off"}


@pytest.mark.parametrize("word", ["softoff", "shutdown"])
def test_a_machine_is_asked_to_shut_down_and_does(bmc: Bmc, word: str) -> None:
    assert pyghmi(bmc, ["set_power", word, 10], ["get_power"])[1] == {"powerstate": "off"}
    assert [entry.result for entry in bmc.entries("chassis.power.soft")] == ["ok"]
    assert bmc.entries("chassis.power.off") == []


def test_the_chassis_status_tells_the_power_and_what_it_came_on_by(bmc: Bmc) -> None:
    status = ["raw_command", 0, 1]
    said = pyghmi(
        bmc, ["set_power", "off", 5], ["set_power", "on", 5], status, ["set_power", "off", 5], status
    )
    # IPMI 2.0 §28.2: bit 0 is the power, bit 4 of the second that it last came on by IPMI; nothing else is so
    assert said[2]["data"] == [0b1, 0b10000, 0]
    assert said[4]["data"] == [0b0, 0b10000, 0]


def test_the_bmc_says_what_it_is(bmc: Bmc) -> None:
    (said,) = pyghmi(bmc, ["_get_device_id"])  # what pyghmi chooses its vendor's dialect by
    assert said == {
        "device_id": 0x20,
        "device_revision": 1,
        "manufacturer_id": EXAMPLE_ENTERPRISE,
        "product_id": 1,
        "firmware_version": "1.00",
    }


@pytest.mark.parametrize(("persist", "uefi"), [(False, False), (True, True)])
def test_a_boot_device_is_told_as_it_was_set(bmc: Bmc, persist: bool, uefi: bool) -> None:
    said = pyghmi(bmc, ["set_bootdev", "network", persist, uefi], ["get_bootdev"])
    assert said[1] == {"bootdev": "network", "persistent": persist, "uefimode": uefi}


def test_a_boot_device_for_one_boot_is_gone_after_it(bmc: Bmc) -> None:
    said = pyghmi(bmc, ["set_bootdev", "network"], ["set_power", "reset"], ["get_bootdev"])
    assert said[2]["bootdev"] == "default"


def test_a_wrong_password_is_told_so(bmc: Bmc) -> None:
    assert pyghmi(bmc, ["get_power"], password="wrong") == "Incorrect password provided"


def test_an_unknown_user_is_told_so(bmc: Bmc) -> None:
    assert "name" in pyghmi(bmc, ["get_power"], user="nobody").lower()
