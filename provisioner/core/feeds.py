"""Which outlets a node's power hangs on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from provisioner.core.outlet_urls import print_of
from provisioner.core.pdus.families import FAMILIES, FIRST_UNITS

_BY_SNMP = " of PDU "
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)", re.DOTALL)
_PORTS = {"http": ":80", "https": ":443"}


@lru_cache(maxsize=4096)  # the nodes of a rack share their PDUs
def _known_as(device: str) -> str:
    """However it is written; of a URL, without its login and its query. Entries are read so, too; nodes that
    were enrolled before they were have it as their file had it, as has what is given to a program."""
    if url := _URL.match(device):
        scheme, host, rest = url.groups()
        return f"{scheme}://{host.rpartition('@')[2].lower().removesuffix(_PORTS[scheme])}{rest}"
    return device.lower().removesuffix(".")


def _unit(address: Mapping[str, Any]) -> str:
    given = str(address.get("unit") or "")
    return ".".join(number.lstrip("0") or "0" for number in given.split(".")) if given else ""


def feeds_of(driver: str, address: Mapping[str, Any]) -> dict[str, str]:
    """The outlets that a node with this power hangs on, by name, each with what to call it; none for a BMC.

    Nodes share an outlet when they share a name. One may have several: the unit of a PDU is named or isn't.
    """
    if driver == "feeds":
        each = (feeds_of(str(feed["driver"]), feed) for feed in address["feeds"])
        return {name: called for feed in each for name, called in feed.items()}
    if driver == "snmp":
        of, *others = _pdu_names(address)
        outlets = [f"outlet {outlet}" for outlet in address["outlets"]]
        return {f"{outlet} of {name}": f"{outlet} of {of}" for outlet in outlets for name in (of, *others)}
    if driver == "http":
        url, printed = _known_as(address["on"]), print_of(address)
        called = f"the outlet at {url}"
        return {f"{called} {printed}".rstrip(): called}
    if driver == "command":
        known = f"{address['command']} of {_known_as(address['address'])}"
        outlets = [f"outlet {outlet} by {known}" for outlet in address["outlets"]]
        return {f"{outlet}{_query(address['address'])}": outlet for outlet in outlets}
    if driver == "iboot":
        only = f"the outlet at {_where(address)}"
        return {only: only}
    return {}


def _query(device: str) -> str:
    """What of a URL isn't shown, and tells one PDU from another to the program that is given it."""
    return device.removeprefix(url[0]) if (url := _URL.match(device)) else ""


def units_advice(outlets: str) -> str:
    """For who is told that an outlet is there twice, and has two: by `auto`, unit 1 may be the first or not.
    outlets: what they are called. Empty: none is of a PDU that may have units."""
    return "; of units in a chain, name family and unit of each" if _BY_SNMP in outlets else ""


def _pdu_names(address: Mapping[str, Any]) -> list[str]:
    """Of a PDU by SNMP, or of a unit of it: who names no unit has its family's first.

    By `auto`, what any family has as its first is the first: no outlet is taken for two; two may be for one.
    """
    pdu = f"PDU {_where(address)}"
    family = FAMILIES.get(str(address["family"]))  # none: the PDU is asked
    if family is not None and not family.unit:
        return [pdu]  # a unit means nothing to it
    given = _unit(address)
    firsts = FIRST_UNITS if family is None else {family.unit}
    unit = given or (family.unit if family else "")
    of_unit = [f"unit {unit} of {pdu}"] if unit else []
    return [*of_unit, pdu] if not given or given in firsts else of_unit


def _where(address: Mapping[str, Any]) -> str:
    port = address.get("port")
    return _known_as(address["address"]) + ("" if port is None else f":{port}")


def pdus_of(driver: str, address: Mapping[str, Any]) -> frozenset[str]:
    """The addresses of the devices with several outlets that a node with this power hangs on."""
    if driver == "feeds":
        return frozenset(pdu for feed in address["feeds"] for pdu in pdus_of(str(feed["driver"]), feed))
    return frozenset((_known_as(address["address"]),)) if driver in ("snmp", "command") else frozenset()
