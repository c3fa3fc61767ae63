"""Every fault is told in full, and what can't be injected is refused with what can."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from bmsim.cli import app
from bmsim.faults.catalogue import CATALOGUE, FAMILIES, completed
from bmsim.faults.fault import BadFault, By, Strikes
from bmsim.faults.reference import as_data, page

REQUIRED_AT_MACHINE = (
    *("bmc.silent", "bmc.ack_not_done", "bmc.swallowed_in_transition", "bmc.busy", "bmc.cold_reset"),
    *("bmc.boot_device_forgotten", "bmc.sessions_exhausted", "net.drop", "net.partition", "dhcp.rival"),
    *("tftp.stall", "boot.ignores_flag", "boot.loop", "node.hangs", "node.dead_nic", "disk.write_error"),
    *("disk.too_small", "host.kill", "host.stop", "bmc.late", "image.corrupt"),
    *("agent.twice", "agent.stale_token"),
)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_fault_tells_what_it_does_how_it_heals_and_where_it_was_seen(name: str) -> None:
    fault = CATALOGUE[name]
    assert fault.name == name
    assert fault.what
    assert fault.heals
    assert fault.source
    assert fault.completed({}) == {each.name: each.default for each in fault.parameters}
    assert ("machine" in fault.fidelities) == (fault.by is not By.NOBODY)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_defaults_of_a_fault_are_values_that_it_takes(name: str) -> None:
    fault = CATALOGUE[name]
    assert fault.completed(fault.completed({})) == fault.completed({})


def test_no_two_faults_have_one_name() -> None:
    assert len(CATALOGUE) == sum(len(family.FAULTS) for family in FAMILIES)


@pytest.mark.parametrize("name", REQUIRED_AT_MACHINE)
def test_these_can_be_injected_into_models_and_machines(name: str) -> None:
    assert CATALOGUE[name].fidelities == {"model", "machine"}


def test_faults_of_a_compute_host_strike_a_host() -> None:
    assert {fault.strikes for fault in CATALOGUE.values() if fault.family == "host"} == {Strikes.HOST}


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("bmc.deaf", {}, "there is no fault bmc.deaf; there are: bmc.silent, "),
        ("net.drop", {"chance": 1}, "net.drop has no parameter chance; it has probability, nth, "),
        ("net.drop", {"protocols": ["ipmi", "smtp"]}, "protocols has 'smtp'; there are: ipmi, "),
        ("bmc.cold_reset", {"silent_s": -1}, "silent_s is -1; it must be at least 0"),
        ("net.drop", {"nth": 0}, "nth is 0; it must be at least 1"),
        ("net.drop", {"probability": 20}, "probability is 20; it must be at most 1"),
        ("node.hangs", {"at": "noon"}, "at has 'noon'; there are: firmware, loader, kernel, agent"),
        ("boot.loop", {"count": True}, "count is True; it must be a whole number"),
    ],
)
def test_what_cant_be_injected_is_refused_with_what_can(name: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadFault, match=said):
        completed(name, given)


def test_the_catalogue_is_plain_data_and_a_page() -> None:
    told = json.loads(json.dumps([as_data(fault) for fault in CATALOGUE.values()]))
    assert [each["name"] for each in told] == list(CATALOGUE)
    assert all(f"### `{name}`" in page() for name in CATALOGUE)


def test_a_fault_is_shown_with_its_defaults_as_yaml_and_what_its_parameters_may_be() -> None:
    told = CliRunner().invoke(app, ["fault", "show", "net.drop"]).output
    assert "strikes a node; " in told
    assert "probability=0.2  of each message, from 0 to 1 (number, at least 0, at most 1)\n" in told
    assert "nth=null  only this message" in told
    assert 'direction="both"  ' in told
    assert "strikes an image; " in CliRunner().invoke(app, ["fault", "show", "image.corrupt"]).output
