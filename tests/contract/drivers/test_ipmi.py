"""The IPMI driver against a BMC that misbehaves as real ones do."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from provisioner.core.errors import DeviceBusy, DeviceRefused, DeviceUnreachable, WrongCredentials
from provisioner.core.states import PowerState
from provisioner.drivers.ipmi import IpmiDevice, IpmiDevices
from provisioner.protocols.children import Children, ChildResult
from provisioner.protocols.power import BootDevice, PowerVerb
from provisioner.services.children import SystemChildren
from tests.contract.drivers.bmc import PASSWORD, USER, Bmc, running_bmc
from tests.ports import free_port

pytestmark = pytest.mark.wire
T = TypeVar("T")
DEADLINE_S = 60.0
SLOW_S = 20.0
"""What a slow machine may add to what takes as long as it takes."""


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[Bmc]:
    with running_bmc(tmp_path) as running:
        yield running


class CountedChildren(SystemChildren):
    runs = 0

    async def run(self, *what: Any, **how: Any) -> ChildResult:
        self.runs += 1
        return await super().run(*what, **how)


def device(
    address: dict[str, object], password: str = PASSWORD, children: Children | None = None
) -> IpmiDevice:
    made = IpmiDevices(children or SystemChildren())("n1", address, {"password": password})
    assert isinstance(made, IpmiDevice)
    return made


def play(story: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(DEADLINE_S):
            return await story()

    return asyncio.run(bounded())


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("nobody", PASSWORD)])
def test_wrong_credentials_are_told_and_not_repeated(bmc: Bmc, user: str, password: str) -> None:
    """A BMC may lock out who tries often."""
    children = CountedChildren()
    control = device({**bmc.address, "user": user}, password, children)
    with pytest.raises(WrongCredentials) as caught:
        play(control.power_state)
    assert re.fullmatch(
        r"read the power state on BMC 127\.0\.0\.1 of node n1: RAKP .+\. Check user, password and .+",
        caught.value.message,
    )
    assert children.runs == 1
    assert password not in str(caught.value)


@pytest.mark.parametrize("call", ["power_state", "set_power", "set_boot_device", "boot_device"])
def test_each_call_to_a_dead_bmc_ends_by_itself(call: str) -> None:
    """To the moment, in virtual time: test_modelled_ipmi.py."""
    control = device({"address": "127.0.0.1", "port": free_port(), "user": USER})
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "power_state": control.power_state,
        "set_power": lambda: control.set_power(PowerVerb.ON),
        "set_boot_device": lambda: control.set_boot_device(BootDevice.DISK, persistent=True, uefi=False),
        "boot_device": control.boot_device,
    }
    began = time.monotonic()
    with pytest.raises(DeviceUnreachable) as caught:
        play(calls[call])
    assert re.fullmatch(
        r"(read|set) .+ on BMC 127\.0\.0\.1 of node n1: no answer in 3\.8 s\. Look at its power .+",
        caught.value.message,
    )
    assert time.monotonic() - began < control.longest_command_s + SLOW_S


@pytest.mark.usefixtures("unhurried")
def test_a_busy_bmc_is_transient_and_answers_again(bmc: Bmc) -> None:
    control = device(bmc.address)
    bmc.faults({"bmc.busy": {"for_commands": ["chassis.power.off"], "count": 1}})
    with pytest.raises(DeviceBusy, match=r"0xC0.+\. If it stays so, reset the BMC"):
        play(lambda: control.set_power(PowerVerb.OFF))
    play(lambda: control.set_power(PowerVerb.OFF))
    assert play(control.power_state) is PowerState.OFF


@pytest.mark.usefixtures("unhurried")
def test_a_bmc_without_free_sessions_is_busy(bmc: Bmc) -> None:
    bmc.faults({"bmc.sessions_exhausted": {}})
    with pytest.raises(DeviceBusy, match=r"no free session\. Close those of other programs"):
        play(device(bmc.address).power_state)


@pytest.mark.usefixtures("unhurried")
def test_a_reset_of_a_machine_that_is_off_is_refused_for_good(bmc: Bmc) -> None:
    control = device(bmc.address)
    play(lambda: control.set_power(PowerVerb.OFF))
    with pytest.raises(DeviceRefused, match=r"0xD5.*Is the node switched on"):
        play(lambda: control.set_power(PowerVerb.RESET))


@pytest.mark.usefixtures("unhurried")
def test_the_next_cipher_suite_is_tried_when_the_first_is_not_served(bmc: Bmc) -> None:
    control = device({**bmc.address, "cipher_suites": [8, 3]})
    assert play(control.power_state) is PowerState.ON
    with pytest.raises(DeviceRefused, match="cipher suites"):
        play(device({**bmc.address, "cipher_suites": [8]}).power_state)


def test_the_password_stands_in_no_command_line_and_no_environment(bmc: Bmc) -> None:
    seen: list[bytes] = []

    async def story() -> None:
        bmc.faults({"bmc.silent": {}})
        asking = asyncio.ensure_future(device(bmc.address).power_state())
        while not seen:
            seen.extend(_words_of_children("ipmitool"))
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    play(story)
    assert not [words for words in seen if PASSWORD.encode() in words]


def test_a_cancelled_command_leaves_no_ipmitool(bmc: Bmc) -> None:
    async def story() -> None:
        bmc.faults({"bmc.silent": {}})
        asking = asyncio.ensure_future(device(bmc.address).power_state())
        while not _words_of_children("ipmitool"):
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert not _words_of_children("ipmitool")

    play(story)


def _words_of_children(program: str) -> list[bytes]:
    """Command line and environment of our own children that run `program`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            parent = folder.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1]
            words = folder.joinpath("cmdline").read_bytes()
            if int(parent) == os.getpid() and words.startswith(program.encode() + b"\0"):
                found.append(words + folder.joinpath("environ").read_bytes())
    return found
