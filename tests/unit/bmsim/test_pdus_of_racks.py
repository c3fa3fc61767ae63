"""PDUs in rack files, and nodes that hang on their outlets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bmsim.devices.pdu import PduTiming, Restore
from bmsim.faces.pdu_device import Cable, PduConfig
from bmsim.faces.pdu_process import _config
from bmsim.faces.snmp_agent import SnmpConfig
from bmsim.rack.errors import RackError
from bmsim.rack.inventory import inventory
from bmsim.rack.spec import Rack
from bmsim.rack.state import RackState
from bmsim.rack.yaml_source import parse
from bmsim.sandbox.pdu_processes import PduProcesses
from tests.unit.bmsim.racks import TEXT

PDUS = """\
pdus:
  - {name: a, family: apc_rackpdu, address: 10.78.0.201, outlets: 4}
  - name: b
    family: raritan_pdu2
    address: 10.78.0.202
    user: {name: power, auth_key: first-of-two-keys, priv_key: second-of-two-keys}
  - {name: c, family: iboot, address: 10.78.0.203, outlets: 1, password: third-secret}
"""
BOARD = """\
  - name: board
    arch: arm64
    firmware: uboot
    disks: [{size_mib: 64}]
    nics: [{mac: "52:54:00:77:00:03"}]
    outlets: [{pdu: a, outlet: 3}]
"""


def rack(board: str = BOARD, pdus: str = PDUS) -> Rack:
    return parse(TEXT + board + pdus, Rack, "rack.yaml")


def power(outlets: str) -> dict[str, Any]:
    nodes = inventory(rack(BOARD.replace("[{pdu: a, outlet: 3}]", outlets)))["nodes"]
    found: dict[str, Any] = nodes[2]["power"]
    return found


def test_a_board_without_a_bmc_starts_when_it_is_fed_and_one_with_a_bmc_does_not() -> None:
    board, server = rack().node("board"), rack().node("n1")
    assert board is not None
    assert server is not None
    assert (board.starts_by_feed, server.starts_by_feed) == (True, False)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("outlet: 3", "outlet: 5", r"outlets\[0\]: node board hangs on outlet 5 of PDU a, which has 4"),
        ("pdu: a, outlet", "pdu: d, outlet", r"outlets\[0\]: node board hangs on PDU d, which there is not"),
        (
            "[{pdu: a, outlet: 3}]",
            "[{pdu: a, outlet: 3}, {pdu: a, outlet: 3}]",
            "outlet 3 of PDU a is given twice",
        ),
        ("    outlets: [{pdu: a, outlet: 3}]\n", "", "there is nothing to switch it by"),
        ("apc_rackpdu", "abc_rackpdu", "there is no family abc_rackpdu; there are: apc_masterswitch, "),
        ("10.78.0.202", "10.78.0.201", "address 10.78.0.201 is given twice"),
        ("10.78.0.202", "10.77.0.202", "PDU b has 10.77.0.202"),
        ("name: c, family", "name: a, family", "PDU a is given twice"),
        ("outlets: 1,", "outlets: 2,", "2 outlets are more than the 1 of iboot"),
        ("name: power", f"name: {'é' * 17}", r"user\.name: it has more than 32 bytes in UTF-8"),
    ],
)
def test_a_mistake_in_wiring_is_told(right: str, wrong: str, told: str) -> None:
    text = TEXT + BOARD + PDUS
    assert text.count(right) == 1
    with pytest.raises(RackError, match=told):
        parse(text.replace(right, wrong), Rack, "rack.yaml")


def test_the_inventory_tells_how_a_pdu_is_asked() -> None:
    assert power("[{pdu: a, outlet: 3}]") == {
        "driver": "snmp",
        "family": "apc_rackpdu",
        "address": "10.78.0.201",
        "outlets": [3],
        "community": "private",
    }


def test_outlets_of_one_pdu_are_one_entry_and_those_of_several_are_feeds() -> None:
    both = power("[{pdu: a, outlet: 3}, {pdu: a, outlet: 1}]")
    assert (both["driver"], both["outlets"]) == ("snmp", [3, 1])
    feeds = power("[{pdu: a, outlet: 3}, {pdu: b, outlet: 2}, {pdu: c, outlet: 1}]")
    assert feeds["driver"] == "feeds"
    assert [feed["driver"] for feed in feeds["feeds"]] == ["snmp", "snmp", "iboot"]
    assert feeds["feeds"][1] == {
        "driver": "snmp",
        "family": "raritan_pdu2",
        "address": "10.78.0.202",
        "outlets": [2],
        "version": "3",
        "user": "power",
        "auth_protocol": "SHA",
        "auth_key": "first-of-two-keys",
        "priv_protocol": "AES",
        "priv_key": "second-of-two-keys",
    }
    assert feeds["feeds"][2] == {"driver": "iboot", "address": "10.78.0.203", "password": "third-secret"}


CHAIN = PDUS.replace("address: 10.78.0.202", "address: 10.78.0.202\n    outlets: 12\n    units: 3")


def chained(outlets: str) -> dict[str, Any]:
    nodes = inventory(rack(BOARD.replace("[{pdu: a, outlet: 3}]", outlets), CHAIN))["nodes"]
    found: dict[str, Any] = nodes[2]["power"]
    return found


def test_outlets_of_a_chain_are_counted_through_and_asked_for_by_their_unit() -> None:
    asked = {outlet: chained(f"[{{pdu: b, outlet: {outlet}}}]") for outlet in (1, 12, 13, 36)}
    assert {outlet: (power.get("unit"), power["outlets"]) for outlet, power in asked.items()} == {
        1: (None, [1]),
        12: (None, [12]),
        13: ("2", [1]),
        36: ("3", [12]),
    }


def test_outlets_of_two_units_of_a_chain_are_feeds() -> None:
    both = chained("[{pdu: b, outlet: 2}, {pdu: b, outlet: 14}, {pdu: b, outlet: 15}]")
    assert both["driver"] == "feeds"
    assert [(feed.get("unit"), feed["outlets"]) for feed in both["feeds"]] == [(None, [2]), ("2", [2, 3])]
    assert {feed["address"] for feed in both["feeds"]} == {"10.78.0.202"}


@pytest.mark.parametrize(
    ("board", "pdus", "told"),
    [
        ("outlet: 37", CHAIN, "hangs on outlet 37 of PDU b, which has 36"),
        ("outlet: 1", CHAIN.replace("units: 3", "units: 9"), "less than or equal to 8"),
        (
            "outlet: 1",
            CHAIN.replace("raritan_pdu2", "servertech_sentry3").replace("units: 3", "units: 5"),
            "5 units are more than the 4 of servertech_sentry3",
        ),
        (
            "outlet: 1",
            CHAIN.replace("raritan_pdu2", "apc_rackpdu").replace("units: 3", "units: 2"),
            "2 units are more than the 1 of apc_rackpdu",
        ),
    ],
)
def test_a_chain_that_cannot_be_is_told(board: str, pdus: str, told: str) -> None:
    with pytest.raises(RackError, match=told):
        rack(BOARD.replace("pdu: a, outlet: 3", f"pdu: b, {board}"), pdus)


def test_keys_are_not_shown_and_are_kept_for_the_rack(tmp_path: Path) -> None:
    made = rack()
    shown = f"{made!r} {made.model_dump(mode='json')}"
    assert "two-keys" not in shown
    assert "third-secret" not in shown
    state = RackState(tmp_path / "r")
    state.create(made)
    assert state.rack() == made
    assert "second-of-two-keys" in json.dumps(json.loads(state.spec_file.read_text()))


ALL_FIELDS = """\
pdus:
  - name: a
    family: raritan_pdu2
    address: 10.78.0.201
    outlets: 4
    units: 2
    read_community: first-secret
    community: second-secret
    user:
      name: power
      auth_protocol: SHA-256
      auth_key: first-of-two-keys
      priv_protocol: AES-256-C
      priv_key: second-of-two-keys
    password: third-secret
    answer_s: 0.25
    on_s: 1.5
    off_s: 2.5
    reboot_s: 7
    sequence_s: 3.5
    restore: "off"
    traps_to: [10.78.0.10, 10.78.0.11]
"""


def test_every_field_of_a_pdu_reaches_its_process(tmp_path: Path) -> None:
    made, state = rack(BOARD, ALL_FIELDS), RackState(tmp_path / "r")
    pdu = made.pdus[0]
    same = [name for name, field in type(pdu).model_fields.items() if getattr(pdu, name) == field.default]
    assert same == [], "each has to be another than its default"
    processes = PduProcesses(made, state, lambda _: None, lambda *_: None)
    given = json.loads(json.dumps(processes._configuration(pdu)))
    assert _config(given) == PduConfig(
        name="a",
        outlets={number: number != 3 for number in range(1, 9)},
        cables={3: Cable(node="board", feed=0, faults=state.faults_file("board"))},
        timing=PduTiming(on_s=1.5, off_s=2.5, reboot_s=7, sequence_s=3.5),
        restore=Restore.OFF,
        answer_s=0.25,
        memory=state.pdu_folder("a") / "relays.json",
    )
    assert SnmpConfig(address=given["address"], **given["snmp"]) == SnmpConfig(
        address="10.78.0.201",
        read_community="first-secret",
        community="second-secret",
        user="power",
        auth_protocol="SHA-256",
        auth_key="first-of-two-keys",
        priv_protocol="AES-256-C",
        priv_key="second-of-two-keys",
        traps_to=["10.78.0.10", "10.78.0.11"],
    )
    rest = {"family": "raritan_pdu2", "unit_outlets": 4, "password": "third-secret"}
    paths = {"audit": str(state.audit_file), "socket": str(state.pdu_socket("a"))}
    assert (rest | paths).items() <= given.items()
