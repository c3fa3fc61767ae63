"""`power` of nodes on outlets, as node files say it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from provisioner.config.node_file import NodeFile
from provisioner.config.source import parse
from provisioner.core.errors import InvalidInput
from provisioner.core.feeds import feeds_of
from tests.unit.config.test_source import NODE

APC = {
    "driver": "snmp",
    "family": "apc_rackpdu",
    "address": "10.78.0.201",
    "outlets": [1],
    "community": "first-secret",
}
RARITAN = {
    "driver": "snmp",
    "family": "raritan_pdu2",
    "address": "10.78.0.202",
    "outlets": [1],
    "version": "3",
    "user": "power",
    "auth_key": "second-secret",
    "priv_key": "third-secret",
}
IBOOT = {"driver": "iboot", "address": "10.78.0.203", "password": "fourth-secret"}
FEEDS = {"driver": "feeds", "feeds": [APC, RARITAN, IBOOT]}


def entry(power: dict[str, Any]) -> Any:
    given = yaml.safe_load(NODE)
    given["nodes"][0]["power"] = power
    return parse(yaml.safe_dump(given), NodeFile, "nodes.yaml").nodes[0].power


HTTP = {
    "driver": "http",
    "on": "http://10.78.0.204/on",
    "off": "http://10.78.0.204/off",
    "state": "http://10.78.0.204/state",
    "when_on": "ON",
    "when_off": "OFF",
}
WEBHOOK = {
    **HTTP,
    "on": "http://10.78.0.204/hook?key=seventh-secret&turn=on",
    "off": "http://10.78.0.204/hook?key=seventh-secret&turn=off",
}
HOOKS = {"driver": "feeds", "feeds": [WEBHOOK, APC]}


@pytest.mark.parametrize(
    "power",
    [APC, RARITAN, IBOOT, FEEDS, WEBHOOK, HOOKS],
    ids=["v2c", "v3", "iboot", "feeds", "webhook", "webhook among feeds"],
)
def test_what_is_sent_to_be_enrolled_is_read_as_the_same(power: dict[str, Any]) -> None:
    read = entry(power)
    again = entry(read.written())
    assert again == read
    assert again.secrets() == read.secrets()


def test_secrets_of_feeds_are_told_apart_and_not_shown() -> None:
    read = entry(FEEDS)
    assert read.secrets() == {
        "0.community": "first-secret",
        "1.auth_key": "second-secret",
        "1.priv_key": "third-secret",
        "2.password": "fourth-secret",
    }
    assert "secret" not in f"{read.shown()} {read!r}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"family": "apc_rackpdux"}, "there is no family apc_rackpdux"),
        ({"outlets": [99]}, "there is no outlet 99; apc_rackpdu has 48 at most"),
        ({"outlets": [1, 1]}, "one of them is there twice"),
        ({"community": None}, "version 2c needs a community"),
        ({"version": "3"}, "version 3 needs a user"),
        ({"unit": "second"}, "should match pattern"),
        (
            {"unit": "2"},
            "unit: apc_rackpdu has no units; the PDU that has the outlet has an address of its own",
        ),
        (
            {"family": "servertech_sentry3", "unit": "2"},
            "2 is none of servertech_sentry3, whose first is 1.1",
        ),
        ({"family": "raritan_pdu2", "unit": "2.1"}, "unit: 2.1 is none of raritan_pdu2, whose first is 1 "),
        ({"version": "3", "user": "é" * 17}, "user: it has more than 32 bytes in UTF-8"),
    ],
)
def test_a_mistake_is_told(change: dict[str, Any], told: str) -> None:
    power = {name: value for name, value in {**APC, **change}.items() if value is not None}
    with pytest.raises(InvalidInput, match=told):
        entry(power)


@pytest.mark.parametrize(
    ("family", "unit"),
    [
        *(("apc_rackpdu", unit) for unit in ("0", "1", "1.1")),
        *(("servertech_sentry4", "2.1"), ("raritan_pdu2", "2"), ("eatonpower", "0"), ("auto", "7.7")),
    ],
)
def test_a_unit_that_a_family_may_have_is_taken(family: str, unit: str) -> None:
    """A PDU without units may be called the first of its own."""
    assert entry({**APC, "family": family, "unit": unit}).shown()["unit"] == unit


def test_a_login_is_somebodys() -> None:
    with pytest.raises(InvalidInput, match="login: digest needs a user"):
        entry({**HTTP, "login": "digest", "token": "secret"})
    assert entry({**HTTP, "login": "digest", "user": "admin", "password": "x"}).shown()["login"] == "digest"


@pytest.mark.parametrize("where", ["on", "off", "state"])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://10.0.0.999/x", "it is no URL"),
        ("http://10.0.0.5:port/x", "it is no URL"),
        ("http:///x", "it names no host"),
        ("http://pdu..example/x", "can't be a host's name"),
        ("ftp://10.0.0.5/x", "match pattern"),
    ],
)
def test_a_url_that_no_client_can_use_is_told(where: str, url: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        entry({**HTTP, where: url})


LOGIN = "it has a user or a password, which would be shown with it: give power.user and power.password"


@pytest.mark.parametrize("where", ["on", "off", "state"])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://admin:sixth-secret@10.0.0.5/off", LOGIN),
        ("http://sixth-secret@10.0.0.5/off", LOGIN),
        ("http://admin:sixth-secret/7@10.0.0.5/off", "it is no URL$"),
    ],
)
def test_a_login_in_a_url_is_refused_with_its_field_and_not_shown(where: str, url: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        entry({**HTTP, where: url})
    assert caught.value.field == f"nodes[0].power.{where}"
    assert "secret" not in str(caught.value)


def test_the_query_of_a_url_is_a_secret_and_the_rest_is_shown() -> None:
    read = entry(WEBHOOK)
    assert read.secrets() == {"on": WEBHOOK["on"], "off": WEBHOOK["off"]}
    shown = read.shown()
    assert {name: shown[name] for name in ("on", "off", "state")} == {
        "on": "http://10.78.0.204/hook",
        "off": "http://10.78.0.204/hook",
        "state": HTTP["state"],
    }
    assert "secret" not in f"{shown} {read!r}"


def test_outlets_whose_urls_differ_by_their_query_alone_are_two() -> None:
    one, other = entry(WEBHOOK), entry({**WEBHOOK, "on": f"{WEBHOOK['on']}&outlet=2"})
    first, second = feeds_of("http", one.shown()), feeds_of("http", other.shown())
    assert first.keys().isdisjoint(second)
    assert [*first.values(), *second.values()] == ["the outlet at http://10.78.0.204/hook"] * 2


def test_a_webhook_that_is_there_twice_is_told_without_its_query() -> None:
    with pytest.raises(InvalidInput, match=r"the outlet at http://10\.78\.0\.204/hook is there twice"):
        entry({"driver": "feeds", "feeds": [WEBHOOK, WEBHOOK]})


@pytest.mark.parametrize("token", ["fifth-secret\n", "fifth secret", "fünftes-secret"])
def test_a_token_that_no_header_bears_is_told_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidInput, match="the end of a line") as caught:
        entry({**HTTP, "token": token})
    assert "secret" not in str(caught.value)


def test_a_name_that_no_host_can_have_is_told() -> None:
    with pytest.raises(InvalidInput, match="can't be a host's name"):
        entry({**APC, "address": "pdu..example"})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({**APC, "address": "pdu-a.example"}, {**APC, "address": "PDU-A.Example."}),
        ({**APC, "address": "fd00::c9"}, {**APC, "address": "FD00:0:0::00C9"}),
        ({**RARITAN, "unit": "2"}, {**RARITAN, "unit": "02"}),
        ({**IBOOT, "address": "iboot"}, {**IBOOT, "address": "iBoot"}),
        (HTTP, {**HTTP, "on": "http://10.78.0.204:80/on"}),
    ],
)
def test_an_outlet_is_the_same_however_its_device_is_written(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    """One outlet is given to one node alone."""
    first, second = entry(one), entry(other)
    assert feeds_of(first.driver, first.shown()) == feeds_of(second.driver, second.shown())


def test_an_outlet_of_a_node_that_was_enrolled_with_a_login_in_its_url_is_the_same() -> None:
    """As its driver takes them for one server."""
    now, before = HTTP, {**HTTP, "on": "http://admin:sixth-secret@10.78.0.204/on"}
    assert feeds_of("http", before) == feeds_of("http", now)


def test_a_program_gets_the_address_as_it_is_written_and_its_outlet_is_the_same_all_the_same() -> None:
    """It may look the PDU up in a list of its own."""
    one, other = (
        entry({"driver": "command", "command": "pdu_mgr", "address": address, "outlets": [1]})
        for address in ("RackA-PDU1", "racka-pdu1")
    )
    assert one.address == "RackA-PDU1"
    assert feeds_of(one.driver, one.shown()) == feeds_of(other.driver, other.shown())


def test_pdus_that_a_program_tells_apart_by_the_query_of_their_urls_are_two() -> None:
    one, other = (
        feeds_of("command", {"command": "pdu_mgr", "address": f"http://me@dcim/pdu?{query}", "outlets": [1]})
        for query in ("id=1", "id=2")
    )
    assert one.keys().isdisjoint(other)
    assert [*one.values(), *other.values()] == ["outlet 1 by pdu_mgr of http://dcim/pdu"] * 2


@pytest.mark.parametrize("again", [APC, {**APC, "family": "auto"}, {**APC, "family": "raritan_pdu2"}])
def test_one_outlet_is_not_two_feeds(again: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"outlet 1 of PDU \S+ is there twice"):
        entry({"driver": "feeds", "feeds": [APC, again]})


def test_units_that_are_taken_for_one_are_told_how_they_are_two() -> None:
    chain = {"driver": "snmp", "family": "auto", "address": "10.78.0.203", "outlets": [3], "community": "c"}
    first, second = {**chain, "unit": "0"}, {**chain, "unit": "1"}
    with pytest.raises(InvalidInput, match="is there twice; of units in a chain, name "):
        entry({"driver": "feeds", "feeds": [first, second]})
    named = [{**feed, "family": "eatonpower"} for feed in (first, second)]
    assert len(entry({"driver": "feeds", "feeds": named}).shown()["feeds"]) == 2
