"""Every family of PDUs as net-snmp's tools see it, and the provisioner's driver: they agree."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from bmsim.devices.pdu_families import FAMILIES as EMULATED
from provisioner.core.errors import DeviceRefused
from provisioner.core.pdus.families import FAMILIES
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.snmp_messages import PysnmpMessages
from provisioner.protocols.power import PowerControl, PowerVerb
from tests.contract.drivers.pdu import AUTH_KEY, KEYS, PRIV_KEY, READ, USER, V3, WRITE, Pdu, running_pdu

pytestmark = [pytest.mark.wire, pytest.mark.usefixtures("unhurried")]
T = TypeVar("T")
DEADLINE_S = 60.0
ENTERPRISES = "1.3.6.1.4.1"
SYSTEM = "1.3.6.1.2.1.1"

# state's object of outlet 3, and its values; on's object and value; off's: as the MIBs have them
OBJECTS = {
    "apc_masterswitch": ("318.1.1.4.4.2.1.3.3", 1, 2, "318.1.1.4.4.2.1.3.3", 1, "318.1.1.4.4.2.1.3.3", 2),
    "apc_masterswitchplus": (
        *("318.1.1.6.7.1.1.5.1.1.3", 1, 2),
        *("318.1.1.6.5.1.1.5.1.1.3", 1, "318.1.1.6.5.1.1.5.1.1.3", 3),
    ),
    "apc_rackpdu": ("318.1.1.12.3.5.1.1.4.3", 1, 2, "318.1.1.12.3.3.1.1.4.3", 1, "318.1.1.12.3.3.1.1.4.3", 2),
    "aten": ("21317.1.3.2.2.2.2.4.0", 2, 1, "21317.1.3.2.2.2.2.4.0", 2, "21317.1.3.2.2.2.2.4.0", 1),
    "cyberpower": ("3808.1.1.3.3.3.1.1.4.3", 1, 2, "3808.1.1.3.3.3.1.1.4.3", 1, "3808.1.1.3.3.3.1.1.4.3", 2),
    "eatonpower": ("534.6.6.7.6.6.1.2.0.3", 1, 0, "534.6.6.7.6.6.1.4.0.3", 0, "534.6.6.7.6.6.1.3.0.3", 0),
    "teltronix": ("23620.1.2.2.1.4.3", 2, 1, "23620.1.2.2.1.4.3", 2, "23620.1.2.2.1.4.3", 1),
    "baytech_mrp27": ("4779.1.3.5.3.1.3.1.3", 1, 0, "4779.1.3.5.3.1.3.1.3", 1, "4779.1.3.5.3.1.3.1.3", 0),
    "servertech_sentry3": (
        "1718.3.2.3.1.5.1.1.3",
        1,
        0,
        "1718.3.2.3.1.11.1.1.3",
        1,
        "1718.3.2.3.1.11.1.1.3",
        2,
    ),
    "servertech_sentry4": (
        *("1718.4.1.8.5.1.1.1.1.3", 3, 2),
        *("1718.4.1.8.5.1.2.1.1.3", 1, "1718.4.1.8.5.1.2.1.1.3", 2),
    ),
    "raritan_pdu2": ("13742.6.4.1.2.1.3.1.3", 7, 8, "13742.6.4.1.2.1.2.1.3", 1, "13742.6.4.1.2.1.2.1.3", 0),
    "vertivgeist_pdu": ("21239.5.2.3.5.1.4.3", 1, 2, "21239.5.2.3.5.1.6.3", 2, "21239.5.2.3.5.1.6.3", 4),
}

# current and active power of outlet 3, while it is off and while it is on, in the unit that the family's MIB
# has for them: 80 W at 230 V. Where a MIB has them of the whole PDU: of four such outlets.
READINGS: dict[str, dict[str, tuple[int, int]]] = {
    "apc_rackpdu": {
        "318.1.1.12.3.5.1.1.7.3": (0, 3),
        "318.1.1.12.2.3.1.1.2.1": (10, 14),
        "318.1.1.12.1.16.0": (240, 320),
    },
    "aten": {
        "21317.1.3.2.2.2.1.99.1.2.1": (1044, 1392),
        "21317.1.3.2.2.2.1.99.1.4.1": (240_000, 320_000),
    },
    "cyberpower": {"3808.1.1.3.3.5.1.1.7.3": (0, 3), "3808.1.1.3.3.5.1.1.8.3": (0, 80)},
    "eatonpower": {"534.6.6.7.6.4.1.3.0.3": (0, 348), "534.6.6.7.6.5.1.3.0.3": (0, 80)},
    "baytech_mrp27": {"4779.1.3.5.2.1.4.1": (10, 14), "4779.1.3.5.2.1.7.1": (240, 320)},
    "servertech_sentry3": {"1718.3.2.3.1.7.1.1.3": (0, 35), "1718.3.2.3.1.14.1.1.3": (0, 80)},
    "servertech_sentry4": {"1718.4.1.8.3.1.3.1.1.3": (0, 35), "1718.4.1.8.3.1.7.1.1.3": (0, 80)},
    "raritan_pdu2": {
        "13742.6.5.4.3.1.4.1.3.1": (0, 348),
        "13742.6.3.5.4.1.7.1.3.1": (3, 3),  # decimal digits of that
        "13742.6.5.4.3.1.4.1.3.5": (0, 80),
        "13742.6.3.5.4.1.7.1.3.5": (0, 0),
    },
    "vertivgeist_pdu": {"21239.5.2.3.6.1.8.3": (0, 35), "21239.5.2.3.6.1.12.3": (0, 80)},
}

# Of families that have chains: the second unit, as a node file calls it; the objects of its outlet 1, of its
# state, on and off; and that of the state of outlet 1 of the first unit. Values are those of OBJECTS.
CHAINS = {
    "apc_masterswitchplus": (
        *("2.1", "318.1.1.6.7.1.1.5.2.1.1", "318.1.1.6.5.1.1.5.2.1.1", "318.1.1.6.5.1.1.5.2.1.1"),
        "318.1.1.6.7.1.1.5.1.1.1",
    ),
    "eatonpower": (
        *("1", "534.6.6.7.6.6.1.2.1.1", "534.6.6.7.6.6.1.4.1.1", "534.6.6.7.6.6.1.3.1.1"),
        "534.6.6.7.6.6.1.2.0.1",
    ),
    "baytech_mrp27": (
        *("2", "4779.1.3.5.3.1.3.2.1", "4779.1.3.5.3.1.3.2.1", "4779.1.3.5.3.1.3.2.1"),
        "4779.1.3.5.3.1.3.1.1",
    ),
    "servertech_sentry3": (
        *("2.1", "1718.3.2.3.1.5.2.1.1", "1718.3.2.3.1.11.2.1.1", "1718.3.2.3.1.11.2.1.1"),
        "1718.3.2.3.1.5.1.1.1",
    ),
    "servertech_sentry4": (
        *("2.1", "1718.4.1.8.5.1.1.2.1.1", "1718.4.1.8.5.1.2.2.1.1", "1718.4.1.8.5.1.2.2.1.1"),
        "1718.4.1.8.5.1.1.1.1.1",
    ),
    "raritan_pdu2": (
        *("2", "13742.6.4.1.2.1.3.2.1", "13742.6.4.1.2.1.2.2.1", "13742.6.4.1.2.1.2.2.1"),
        "13742.6.4.1.2.1.3.1.1",
    ),
}

LOGINS = {
    "1": ("-v1", "-c", WRITE),
    "2c": ("-v2c", "-c", WRITE),
    "3": ("-v3", "-l", "authPriv", "-u", USER, "-a", "SHA", "-A", AUTH_KEY, "-x", "AES", "-X", PRIV_KEY),
}


def tool(program: str, pdu: Pdu, login: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    argv = (program, *login, "-t", "30", "-r", "0", "-On", "-Oq", f"127.0.0.1:{pdu.port}", *words)
    return subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S)


def value(pdu: Pdu, oid: object, login: tuple[str, ...] = LOGINS["2c"]) -> int:
    done = tool("snmpget", pdu, login, f"{ENTERPRISES}.{oid}")
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def readings(pdu: Pdu) -> dict[str, int]:
    return {oid: value(pdu, oid) for oid in READINGS.get(pdu.family, {})}


def write(pdu: Pdu, oid: object, number: object, login: tuple[str, ...] = LOGINS["2c"]) -> None:
    done = tool("snmpset", pdu, login, f"{ENTERPRISES}.{oid}", "i", str(number))
    assert done.returncode == 0, done.stderr


def play(story: Callable[[PowerControl], Awaitable[T]], pdu: Pdu, *outlets: int, **more: object) -> T:
    async def bounded() -> T:
        messages = PysnmpMessages()
        address = {**pdu.address, "outlets": list(outlets), **more}
        secret = KEYS if more.get("version") == "3" else {"community": WRITE}
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await story(SnmpDevices(messages, discharge_s=1)("n1", address, secret))
        finally:
            messages.close()

    return asyncio.run(bounded())


def test_every_family_of_bmsims_is_seen_by_net_snmp_and_known_to_the_provisioner() -> None:
    """One of the provisioner's that bmsim doesn't have may be added without."""
    assert set(OBJECTS) == set(EMULATED)
    assert set(OBJECTS) <= set(FAMILIES)


@pytest.fixture(params=OBJECTS)
def pdu(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pdu]:
    with running_pdu(tmp_path, request.param) as running:
        yield running


def test_what_one_switches_the_other_sees(pdu: Pdu) -> None:
    state, is_on, is_off, on_oid, on, off_oid, off = OBJECTS[pdu.family]
    drawn = READINGS.get(pdu.family, {})

    async def switched_off_and_on(control: PowerControl) -> None:
        await control.set_power(PowerVerb.OFF)
        assert await control.power_state() is PowerState.OFF
        assert await asyncio.to_thread(value, pdu, state) == is_off
        assert await asyncio.to_thread(readings, pdu) == {oid: off for oid, (off, _) in drawn.items()}
        await control.set_power(PowerVerb.ON)
        assert await control.power_state() is PowerState.ON
        assert await asyncio.to_thread(value, pdu, state) == is_on
        await asyncio.to_thread(write, pdu, off_oid, off)
        assert await control.power_state() is PowerState.OFF
        await asyncio.to_thread(write, pdu, on_oid, on)
        assert await control.power_state() is PowerState.ON
        assert await asyncio.to_thread(readings, pdu) == {oid: on for oid, (_, on) in drawn.items()}

    play(switched_off_and_on, pdu, 3)
    commands = [(entry.command, entry.args["outlet"]) for entry in pdu.received() if "outlet" in entry.args]
    assert commands == [("outlet.off", 3), ("outlet.on", 3)] * 2


def test_the_families_that_have_units_are_those_that_may_be_chained() -> None:
    assert set(CHAINS) == {name for name, family in EMULATED.items() if family.units > 1}
    assert set(CHAINS) == {name for name, family in FAMILIES.items() if family.unit}


@pytest.mark.parametrize("named", [True, False], ids=["named", "auto"])
@pytest.mark.parametrize("family", CHAINS)
def test_an_outlet_of_the_second_unit_is_switched_and_no_other(
    family: str, named: bool, tmp_path: Path
) -> None:
    unit, state, on_oid, off_oid, first = CHAINS[family]
    _, is_on, is_off, _, on, _, off = OBJECTS[family]

    async def switched_off_and_on(control: PowerControl) -> None:
        for verb, told, number in (
            (PowerVerb.OFF, PowerState.OFF, is_off),
            (PowerVerb.ON, PowerState.ON, is_on),
        ):
            await control.set_power(verb)
            assert await control.power_state() is told
            assert await asyncio.to_thread(value, pdu, state) == number
            assert await asyncio.to_thread(value, pdu, first) == is_on
            assert [pdu.fed(outlet) for outlet in range(1, 9)] == [*[True] * 4, number == is_on, *[True] * 3]
        for oid, wanted, told in ((off_oid, off, PowerState.OFF), (on_oid, on, PowerState.ON)):
            await asyncio.to_thread(write, pdu, oid, wanted)
            assert await control.power_state() is told

    with running_pdu(tmp_path, family, outlets=8, unit_outlets=4) as pdu:
        play(switched_off_and_on, pdu, 1, unit=unit, **({} if named else {"family": "auto"}))
        commands = [
            (entry.command, entry.args["outlet"]) for entry in pdu.received() if "outlet" in entry.args
        ]
        assert commands == [("outlet.off", 5), ("outlet.on", 5)] * 2
        column = first.rsplit(".", unit.count(".") + 2)[0]
        walked = tool("snmpwalk", pdu, LOGINS["2c"], f"{ENTERPRISES}.{column}")
    # Behind the last column of all, the end of the MIB is told as well.
    assert sum(column in line and "No more" not in line for line in walked.stdout.splitlines()) == 8


def test_each_unit_of_a_chain_tells_what_it_draws(tmp_path: Path) -> None:
    with running_pdu(tmp_path, "baytech_mrp27", outlets=4, unit_outlets=2) as pdu:
        write(pdu, CHAINS["baytech_mrp27"][3], 0)
        watts = [value(pdu, f"4779.1.3.5.2.1.7.{unit}") for unit in (1, 2)]
    assert watts == [160, 80]


def test_a_unit_that_the_chain_does_not_have_is_refused(tmp_path: Path) -> None:
    with (
        running_pdu(tmp_path, "raritan_pdu2", outlets=8, unit_outlets=4) as pdu,
        pytest.raises(DeviceRefused) as refused,
    ):
        play(lambda control: control.set_power(PowerVerb.OFF), pdu, 1, unit="3")
    assert "power.unit" in refused.value.advice
    assert not [entry for entry in pdu.received() if entry.command.startswith("outlet.")]


@pytest.mark.parametrize("version", LOGINS)
def test_every_version_of_snmp_is_spoken(pdu: Pdu, version: str) -> None:
    state, is_on, is_off, _, _, off_oid, off = OBJECTS[pdu.family]
    write(pdu, off_oid, off, LOGINS[version])
    assert value(pdu, state, LOGINS[version]) == is_off

    async def switched_on(control: PowerControl) -> None:
        assert await control.power_state() is PowerState.OFF
        await control.set_power(PowerVerb.ON)

    play(switched_on, pdu, 3, **({**V3} if version == "3" else {"version": version}))
    assert value(pdu, state, LOGINS[version]) == is_on


def test_a_pdu_tells_its_family(pdu: Pdu) -> None:
    async def told(control: PowerControl) -> PowerState:
        return await control.power_state()

    assert play(told, pdu, 1, 2, family="auto") is PowerState.ON


def test_a_walk_finds_every_outlet_and_ends(pdu: Pdu) -> None:
    for program, login in (
        ("snmpwalk", LOGINS["1"]),
        ("snmpwalk", LOGINS["2c"]),
        ("snmpbulkwalk", LOGINS["3"]),
    ):
        done = tool(program, pdu, login, "1.3.6.1")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert [line.split()[0] for line in lines[:6]] == [f".{SYSTEM}.{number}.0" for number in range(1, 7)]
        state = OBJECTS[pdu.family][0]
        assert any(line.startswith(f".{ENTERPRISES}.{state} ") for line in lines)
        assert "End of MIB" in lines[-1] or lines[-1].startswith(f".{ENTERPRISES}")


def ticks(pdu: Pdu, program: str, login: tuple[str, ...], oid: str) -> int:
    """Of sysUpTime, a bare number by -Ot."""
    done = tool(program, pdu, login, "-Ot", oid)
    assert done.returncode == 0, done.stderr
    name, number = done.stdout.split()
    assert name == f".{SYSTEM}.3.0"
    return int(number)


@pytest.mark.parametrize("version", LOGINS)
def test_a_pdu_counts_hundredths_of_a_second_since_it_started(tmp_path: Path, version: str) -> None:
    """sysUpTime, held between what has passed at least and at most."""
    login, before_s = LOGINS[version], time.monotonic()
    with running_pdu(tmp_path) as pdu:
        ready_s = time.monotonic()
        for program, oid in (("snmpget", f"{SYSTEM}.3.0"), ("snmpgetnext", f"{SYSTEM}.2.0")):
            asked_s = time.monotonic()
            told = ticks(pdu, program, login, oid)
            assert (asked_s - ready_s) * 100 - 1 <= told <= (time.monotonic() - before_s) * 100
        typed = subprocess.run(
            ("snmpget", *login, "-On", f"127.0.0.1:{pdu.port}", f"{SYSTEM}.3.0"),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert f".{SYSTEM}.3.0 = Timeticks: (" in typed.stdout
        refused = tool("snmpset", pdu, LOGINS["2c"], f"{SYSTEM}.3.0", "t", "0")
        assert "notWritable" in refused.stderr


def test_a_pdu_counts_anew_when_it_was_without_power_or_died(tmp_path: Path) -> None:
    oid, login = f"{SYSTEM}.3.0", LOGINS["2c"]
    with running_pdu(tmp_path) as pdu:
        assert ticks(pdu, "snmpget", login, oid) >= 0
        pdu.ask(do="mains", on=False)
        back_s = time.monotonic()
        pdu.ask(do="mains", on=True)
        assert ticks(pdu, "snmpget", login, oid) <= (time.monotonic() - back_s) * 100
        pdu.kill()
        back_s = time.monotonic()
        pdu.start()
        assert ticks(pdu, "snmpget", login, oid) <= (time.monotonic() - back_s) * 100


def test_who_may_only_read_switches_nothing(pdu: Pdu) -> None:
    state, is_on, _, _, _, off_oid, off = OBJECTS[pdu.family]
    done = tool("snmpset", pdu, ("-v2c", "-c", READ), f"{ENTERPRISES}.{off_oid}", "i", str(off))
    assert done.returncode != 0
    assert "noAccess" in done.stderr
    assert value(pdu, state, ("-v2c", "-c", READ)) == is_on


def test_what_an_object_cannot_have_is_refused(pdu: Pdu) -> None:
    on_oid = OBJECTS[pdu.family][3]
    refused = -7 if pdu.family == "eatonpower" else 77
    done = tool("snmpset", pdu, LOGINS["2c"], f"{ENTERPRISES}.{on_oid}", "i", str(refused))
    assert "wrongValue" in done.stderr
    done = tool("snmpset", pdu, LOGINS["2c"], f"{ENTERPRISES}.{on_oid}.9", "i", "1")
    assert "noCreation" in done.stderr


@pytest.mark.parametrize("auth", ["MD5", "SHA", "SHA-256", "SHA-512"])
@pytest.mark.parametrize("priv", ["DES", "AES", "AES-192", "AES-256", "AES-192-C", "AES-256-C"])
def test_keys_are_made_alike_by_every_protocol(tmp_path: Path, auth: str, priv: str) -> None:
    """Of a hash that is too short for the cipher's key, more has to be made."""
    login = ("-v3", "-l", "authPriv", "-u", USER, "-a", auth, "-A", AUTH_KEY, "-x", priv, "-X", PRIV_KEY)
    state, is_on = OBJECTS["apc_rackpdu"][:2]
    protocols = {"auth_protocol": auth, "priv_protocol": priv}

    async def told(control: PowerControl) -> PowerState:
        return await control.power_state()

    with running_pdu(tmp_path, snmp=protocols) as pdu:
        assert value(pdu, state, login) == is_on
        assert play(told, pdu, 3, **V3, **protocols) is PowerState.ON


def test_a_user_may_have_any_name(tmp_path: Path) -> None:
    """Also what the agent calls the community that may only read."""
    login = ("-v3", "-l", "authPriv", "-u", "reader", *LOGINS["3"][5:])
    _, _, is_off, _, _, off_oid, off = OBJECTS["apc_rackpdu"]
    with running_pdu(tmp_path, snmp={"user": "reader"}) as pdu:
        write(pdu, off_oid, off, login)
        assert value(pdu, off_oid, login) == is_off


@pytest.mark.parametrize("kind", ["u", "t", "s"])
def test_a_command_of_another_type_than_integer_is_refused(tmp_path: Path, kind: str) -> None:
    """RFC 3416 §4.2.5: who writes a Gauge32 to a real PDU is told so, and not heard."""
    on_oid, on = OBJECTS["apc_rackpdu"][3:5]
    with running_pdu(tmp_path) as pdu:
        done = tool("snmpset", pdu, LOGINS["2c"], f"{ENTERPRISES}.{on_oid}", kind, str(on))
        assert "wrongType" in done.stderr


@pytest.mark.parametrize("word", ["sésame-sésame", "€-for-a-kilowatt", "two words, 'quoted' #1"])
def test_words_that_are_not_ascii_are_the_same_to_all(tmp_path: Path, word: str) -> None:
    keys = {"auth_key": word, "priv_key": word}
    by_user = ("-v3", "-l", "authPriv", "-u", USER, "-a", "SHA", "-A", word, "-x", "AES", "-X", word)
    state, is_on = OBJECTS["apc_rackpdu"][:2]
    with running_pdu(tmp_path, snmp={"community": word, **keys}) as pdu:
        for login in (("-v2c", "-c", word), by_user):
            assert value(pdu, state, login) == is_on

        async def asked() -> list[PowerState]:
            messages = PysnmpMessages()
            devices = SnmpDevices(messages, discharge_s=1)
            controls = [
                devices("n1", {**pdu.address, **more, "outlets": [3]}, secret)
                for more, secret in (({}, {"community": word}), (V3, keys))
            ]
            try:
                async with asyncio.timeout(DEADLINE_S):
                    return [await control.power_state() for control in controls]
            finally:
                messages.close()

        assert asyncio.run(asked()) == [PowerState.ON] * 2
