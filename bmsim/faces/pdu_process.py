"""One PDU in a process of its own: `python -m bmsim.faces.pdu_process`, its configuration on standard input.

It says `ready` on standard output when it listens, and for each outlet that is switched a line with its
number and `on` or `off`: at first for those that are on. It ends by SIGTERM or with its parent.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bmsim.audit import AuditLog
from bmsim.devices.pdu import PduTiming, Restore, Switched
from bmsim.devices.pdu_families import FAMILIES
from bmsim.devices.pdu_mib import PduMib
from bmsim.faces.pdu_device import Cable, PduConfig, PduDevice
from bmsim.faces.pdu_http import serve_http
from bmsim.faces.pdu_lines import serve_console, serve_iboot, serve_rack
from bmsim.faces.snmp_agent import SnmpAgent, SnmpConfig

PR_SET_PDEATHSIG = 1  # linux/prctl.h

IBOOT = "iboot"
"""In place of a family with SNMP: one outlet over TCP."""

HTTP_PORT, CONSOLE_PORT = 80, 23


def main() -> int:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    given = json.load(sys.stdin)
    # pysnmp counts the starts of an engine in a file there (RFC 3414 §2.2: snmpEngineBoots).
    tempfile.tempdir = str(Path(given["memory"]).parent)
    try:
        asyncio.run(_serve(given))
    except OSError as error:
        print(f"PDU {given['name']} can't listen at {given['address']}: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(given: Mapping[str, Any]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    device = PduDevice(_config(given), AuditLog(Path(given["audit"])), _say)
    async with AsyncExitStack() as stack:
        address, password = given["address"], given["password"]
        ports = given.get("ports", {})
        if given["family"] == IBOOT:
            port = ports.get("http", HTTP_PORT)
            await stack.enter_async_context(await serve_iboot(device, address, port, password))
        else:
            agent = SnmpAgent(
                SnmpConfig(address=address, **given["snmp"]),
                device,
                PduMib(device.pdu, FAMILIES[given["family"]], given["name"], given["unit_outlets"]),
            )
            stack.callback(agent.close)
            await agent.ready()
            for serve, port in (
                (serve_http, ports.get("http", HTTP_PORT)),
                (serve_console, ports.get("console", CONSOLE_PORT)),
            ):
                await stack.enter_async_context(await serve(device, address, port, password))
        await stack.enter_async_context(await serve_rack(device, given["socket"]))
        print("ready", flush=True)
        await stop.wait()


def _config(given: Mapping[str, Any]) -> PduConfig:
    return PduConfig(
        name=given["name"],
        outlets={int(number): closed for number, closed in given["outlets"].items()},
        cables={
            int(number): Cable(node=cable["node"], feed=cable["feed"], faults=Path(cable["faults"]))
            for number, cable in given["cables"].items()
        },
        timing=PduTiming(**given.get("timing", {})),
        restore=Restore(given.get("restore", "last")),
        answer_s=given.get("answer_s", 0.0),
        memory=Path(given["memory"]),
    )


def _say(switched: Switched) -> None:
    print(switched.outlet, "on" if switched.on else "off", flush=True)


if __name__ == "__main__":
    sys.exit(main())
