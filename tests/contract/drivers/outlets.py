"""Each way to switch an outlet, with something real behind it: a PDU of bmsim's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from provisioner.drivers.outlet_command import CommandDevices
from provisioner.drivers.outlet_feeds import FeedDevices
from provisioner.drivers.outlet_http import HttpDevices
from provisioner.drivers.outlet_iboot import IbootDevices
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.snmp_messages import PysnmpMessages
from provisioner.protocols.power import DeviceFactory, PowerControl
from provisioner.services.children import SystemChildren
from tests.contract.drivers.pdu import PASSWORD, WRITE, Pdu, running_pdu

DISCHARGE_S = 0.1
TIMEOUT_S = 45.0
SLOW_S = 20.0
"""What a slow machine may add to what takes as long as it takes."""

# What a site's own program may look like: its secret is its own, and it speaks its PDU's language.
PDU_MGR = """#!/bin/sh
at="127.0.0.1:$1"; object=".1.3.6.1.4.1.318.1.1.12.3.3.1.1.4.$2"
case $3 in
  on) snmpset -v2c -c {community} -Oqv "$at" "$object" i 1 ;;
  off) snmpset -v2c -c {community} -Oqv "$at" "$object" i 2 ;;
  status) case $(snmpget -v2c -c {community} -Oqv "$at" "$object") in 1) echo on ;; 2) echo off ;; esac ;;
  *) echo "pdu_mgr knows no $3" >&2; exit 64 ;;
esac
"""


def snmp_messages(stack: ExitStack) -> PysnmpMessages:
    messages = PysnmpMessages()
    stack.callback(messages.close)
    return messages


def snmp(
    stack: ExitStack,
    pdu: Pdu,
    *outlets: int,
    secret: dict[str, str] | None = None,
    timeout_s: float | None = None,
    **more: Any,
) -> PowerControl:
    """Outlets of a PDU that runs; its first one, where none is named. timeout_s: None for the driver's own.
    more: of its address."""
    given = {} if timeout_s is None else {"timeout_s": timeout_s}
    devices = SnmpDevices(snmp_messages(stack), discharge_s=1, **given)
    address = {**pdu.address, "outlets": list(outlets or (1,)), **more}
    return devices("n1", address, {"community": WRITE} if secret is None else secret)


def by_snmp(stack: ExitStack, folder: Path) -> PowerControl:
    pdu = stack.enter_context(running_pdu(folder))
    devices = SnmpDevices(snmp_messages(stack), discharge_s=DISCHARGE_S)
    return devices("n1", {**pdu.address, "outlets": [2, 3]}, {"community": WRITE})


def by_iboot(stack: ExitStack, folder: Path) -> PowerControl:
    pdu = stack.enter_context(running_pdu(folder, "iboot", outlets=1))
    address = {"address": "127.0.0.1", "port": pdu.http_port}
    return IbootDevices(discharge_s=DISCHARGE_S)("n1", address, {"password": PASSWORD})


def http_address(pdu: Pdu, outlet: int = 1) -> dict[str, object]:
    url = f"http://127.0.0.1:{pdu.http_port}/outlets/{outlet}"
    return {
        "on": f"{url}/on",
        "off": f"{url}/off",
        "state": url,
        "method": "POST",
        "when_on": '"on"',
        "when_off": '"off"',
    }


def by_http(stack: ExitStack, folder: Path) -> PowerControl:
    pdu = stack.enter_context(running_pdu(folder))
    # No connection is kept: each test's calls run in loops of their own.
    client = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
    return HttpDevices(client, discharge_s=DISCHARGE_S)("n1", http_address(pdu), {"token": PASSWORD})


def programs(folder: Path) -> dict[str, Path]:
    program = folder / "pdu_mgr"
    program.write_text(PDU_MGR.format(community=WRITE))
    program.chmod(0o755)
    return {"pdu_mgr": program}


def by_command(stack: ExitStack, folder: Path) -> PowerControl:
    pdu = stack.enter_context(running_pdu(folder))
    devices = CommandDevices(SystemChildren(), programs(folder), discharge_s=DISCHARGE_S, timeout_s=TIMEOUT_S)
    # The program takes a port for an address: all PDUs are at one here.
    return devices("n1", {"command": "pdu_mgr", "address": str(pdu.port), "outlets": [1, 4]}, {})


def by_feeds(stack: ExitStack, folder: Path) -> PowerControl:
    first = stack.enter_context(running_pdu(folder / "a"))
    second = stack.enter_context(running_pdu(folder / "b", "iboot", outlets=1))
    feeds = [
        {"driver": "snmp", **first.address, "outlets": [1]},
        {"driver": "iboot", "address": "127.0.0.1", "port": second.http_port},
    ]
    drivers: dict[str, DeviceFactory] = {
        "snmp": SnmpDevices(snmp_messages(stack), discharge_s=DISCHARGE_S),
        "iboot": IbootDevices(discharge_s=DISCHARGE_S),
    }
    secret = {"0.community": WRITE, "1.password": PASSWORD}
    return FeedDevices(drivers)("n1", {"feeds": feeds}, secret)


WAYS: dict[str, Callable[[ExitStack, Path], PowerControl]] = {
    "snmp": by_snmp,
    "iboot": by_iboot,
    "http": by_http,
    "command": by_command,
    "feeds": by_feeds,
}


@contextmanager
def outlets(way: str, folder: Path) -> Iterator[PowerControl]:
    with ExitStack() as stack:
        yield WAYS[way](stack, folder)
