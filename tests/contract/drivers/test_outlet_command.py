"""Outlets by a site's own program: one that fails, hangs, or says something else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from provisioner.core.errors import (
    DeviceRefused,
    DeviceUnreachable,
    InvalidInput,
    ProvisionerError,
    WrongCredentials,
)
from provisioner.core.outlets import told
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_command import CommandDevices
from provisioner.protocols.children import Argument, ChildResult
from provisioner.protocols.power import Feeds, PowerControl, PowerVerb
from provisioner.services.children import SystemChildren
from scenarios.runner.model.program import ModelProgram
from scenarios.runner.virtual_time import run
from tests.contract.drivers.modelled_bmc import InThisProcess
from tests.contract.drivers.outlets import programs
from tests.contract.drivers.pdu import READ, WRITE, Pdu
from tests.wire.services.conftest import play

pytestmark = pytest.mark.wire

COMMAND_S = 4.0
NODES = Path(__file__).resolve().parents[3] / "docs/nodes.md"
CLASSIC = f"""#!/bin/sh
at=$1 object=.1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.$2
case $3 in
  on) snmpset -v2c -c {WRITE} -Oqv "$at" "$object" i 1 ;;
  off) snmpset -v2c -c {WRITE} -Oqv "$at" "$object" i 2 ;;
  *) echo "usage: pdu_mgr ADDRESS OUTLET on|off|reboot" >&2; exit 1 ;;
esac
"""


def test_the_wrapper_of_the_manual_makes_a_classic_pdu_mgr_one_that_tells_states(
    pdu: Pdu, tmp_path: Path
) -> None:
    (text,) = (part for part in NODES.read_text().split("```sh\n")[1:] if "pdu_mgr" in part)
    classic, wrapper = tmp_path / "pdu_mgr", tmp_path / "wrapper"
    classic.write_text(CLASSIC)
    script = text.partition("```")[0].replace("/usr/local/sbin/pdu_mgr", str(classic))
    assert str(classic) in script
    # Its snmp.conf lies here, not in /etc/snmp.
    wrapper.write_text(script.replace("\n", f"\nexport SNMPCONFPATH={tmp_path}\n", 1))
    for program in (classic, wrapper):
        program.chmod(0o755)
    (tmp_path / "snmp.conf").write_text(f"defVersion 2c\ndefCommunity {READ}\n")
    address = {"command": "wrapper", "address": f"127.0.0.1:{pdu.port}", "outlets": [2]}
    devices = CommandDevices(SystemChildren(), {"wrapper": wrapper}, discharge_s=1, timeout_s=45)
    control = devices("n1", address, {})
    assert play(control.power_state) is PowerState.ON
    for verb, state in ((PowerVerb.OFF, PowerState.OFF), (PowerVerb.ON, PowerState.ON)):
        play(lambda verb=verb: control.set_power(verb))
        assert play(control.power_state) is state
        assert pdu.fed(2) is (state is PowerState.ON)
    pdu.kill()
    with pytest.raises(DeviceUnreachable):
        play(control.power_state)


def command(
    folder: Path, script: str, timeout_s: float = 45, outlets: tuple[int, ...] = (3,)
) -> PowerControl:
    program = folder / "switch"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    devices = CommandDevices(SystemChildren(), {"switch": program}, discharge_s=1, timeout_s=timeout_s)
    return devices("n1", {"command": "switch", "address": "pdu1", "outlets": outlets}, {})


def test_an_outlet_that_has_been_switched_is_not_told_again_while_another_one_fails(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    fails = f'[ "$2" != 4 ] || [ $(grep -c "^4" {calls}) -gt 2 ]'
    control = command(tmp_path, f'echo "$2 $3" >> {calls}\n{fails}', outlets=(3, 4, 5))
    play(lambda: switched_after_all(control))
    assert calls.read_text().splitlines() == ["3 on", "4 on", "4 on", "4 on", "5 on"]


async def switched_after_all(control: PowerControl) -> None:
    for _ in range(2):
        with pytest.raises(DeviceUnreachable):
            await control.set_power(PowerVerb.ON)
    await control.set_power(PowerVerb.ON)


class SlowProgram(ModelProgram):
    """Takes three fifths of a command's time."""

    name = "switch"

    async def _run(self, argv: Sequence[Argument]) -> ChildResult:
        await asyncio.sleep(0.6 * COMMAND_S)
        return ChildResult(0, "on\n", "")


def test_a_program_that_is_too_slow_for_all_outlets_is_told_as_such() -> None:
    """By hand, for one of them, it is quick enough."""
    program = {"switch": Path("switch")}
    devices = CommandDevices(SlowProgram(InThisProcess()), program, discharge_s=1, timeout_s=COMMAND_S)
    address = {"command": "switch", "address": "pdu1"}
    one, both = (devices("n1", {**address, "outlets": outlets}, {}) for outlets in ([3], [3, 4]))

    async def story() -> float:
        assert await one.power_state() is PowerState.ON
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(
            DeviceUnreachable, match=r"power\.command_timeout_s .* for all 2 outlets of the node"
        ):
            await both.power_state()
        return asyncio.get_running_loop().time() - began_s

    assert run(story(), 0) < COMMAND_S


@pytest.mark.parametrize(
    ("script", "error", "said"),
    [
        ("echo 'no such PDU' >&2; exit 1", DeviceUnreachable, "no such PDU"),
        ("echo 'login failed' >&2; exit 77", WrongCredentials, "login failed"),
        ("echo 'pdu1 has no outlet 3' >&2; exit 64", DeviceRefused, "pdu1 has no outlet 3"),
    ],
)
def test_a_program_that_fails_is_told_by_its_last_words(
    tmp_path: Path, script: str, error: type[ProvisionerError], said: str
) -> None:
    with pytest.raises(error, match=f"read the state of outlet 3 on PDU pdu1 by switch: {said}"):
        play(command(tmp_path, script).power_state)


@pytest.mark.parametrize(
    ("says", "state", "seen"),
    [
        ("outlet 3 is ON", PowerState.ON, "outlet 3 on"),
        ("off", PowerState.OFF, "outlet 3 off"),
        ("it is Closed", PowerState.UNKNOWN, "outlet 3 unknown (closed)"),
    ],
)
def test_a_programs_last_word_is_the_state(tmp_path: Path, says: str, state: PowerState, seen: str) -> None:
    control = command(tmp_path, f"echo '{says}'")
    assert play(control.power_state) is state
    assert isinstance(control, Feeds)
    assert told(control.last_seen()) == seen


def test_a_program_that_hangs_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    pid = ""
    for timeout_s in (1.0, 5.0, 25.0):
        control = command(tmp_path, f"echo $$ > {pid_file}; sleep 600", timeout_s=timeout_s)
        with pytest.raises(DeviceUnreachable, match=f"not done in {timeout_s:g} s"):
            play(lambda control=control: control.set_power(PowerVerb.ON))
        if pid := pid_file.read_text() if pid_file.exists() else "":
            break  # else its time was up before it had begun
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_program_dies_with_whoever_asked(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    control = command(tmp_path, f"echo $$ > {pid_file}; sleep 600")

    async def story() -> None:
        asked = asyncio.ensure_future(control.set_power(PowerVerb.ON))
        while not (pid_file.exists() and pid_file.read_text()):
            await asyncio.sleep(0.01)
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked

    play(story)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_only_programs_that_the_host_names_are_run(tmp_path: Path) -> None:
    devices = CommandDevices(SystemChildren(), programs(tmp_path), discharge_s=1, timeout_s=4)
    with pytest.raises(InvalidInput, match=r"no command 'reboot'.*power\.commands"):
        devices("n1", {"command": "reboot", "address": "pdu1", "outlets": [1]}, {})
