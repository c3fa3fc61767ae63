"""A node's serial console by IPMI serial-over-LAN (IPMI 2.0 §15)."""

from __future__ import annotations

import asyncio
import os
import re

from provisioner.core.errors import DeviceRefused, TransientError
from provisioner.drivers.ipmi_session import IpmiSession
from provisioner.protocols.children import Child, ChildResult
from provisioner.protocols.power import ConsoleSink

RECONNECT_S = 2.0
"""After a lost session: a BMC that restarts must not be hammered."""

# ipmitool asks every 15 s whether the BMC is still there. With the retries of a command it would take
# 65 s to see that a BMC has restarted and knows nothing of the session; so it takes 25 s.
KEEPALIVE_RETRIES = 1

GREETING = re.compile(rb"\[SOL Session operational\.[^\]\r\n]*\]\r?\n")
MAX_GREETING_BYTES = 4096
MAX_COMPLAINT_BYTES = 4096

# What ipmitool prints among the console's bytes when a session ends.
FAREWELLS = (
    b"SOL session closed by BMC",
    b"[terminated ipmitool]",
)
# A farewell may come in two pieces, so the beginning of one is held back; a shorter one isn't,
# since a prompt must be seen although nothing follows it.
LEAST_SUSPECT_BYTES = 4

NO_CONSOLE = re.compile(
    r"SOL payload (type )?disabled|Error activating SOL payload: .*(Invalid command|not supported)"
)


async def capture_console(session: IpmiSession, sink: ConsoleSink) -> None:
    """As `protocols.power.Console.capture`. Listens only: nothing is ever typed on the console."""
    while True:
        try:
            await _deactivate(session)
            await _listen(session, sink)
        except TransientError:
            pass
        await asyncio.sleep(RECONNECT_S)


async def _deactivate(session: IpmiSession) -> None:
    """Ends a session that a killed predecessor left open: a BMC has one, and keeps it for a minute."""
    tried = "take over the serial console"
    async with session.bounded(tried):
        await session.children.run(session.command_line(["sol", "deactivate"]), timeout_s=60)


async def _listen(session: IpmiSession, sink: ConsoleSink) -> None:
    """Feeds `sink` until the session ends."""
    # ipmitool makes its input raw, which only a terminal can be; ours stays silent.
    silent, terminal = os.openpty()
    try:
        async with session.children.started(
            session.command_line(["sol", "activate"], retries=KEEPALIVE_RETRIES), stdin=terminal
        ) as child:
            complaints = asyncio.create_task(_complaints(child))
            try:
                await _pass_on(child, sink)
                _judge(session, ChildResult(await child.wait(), "", await complaints))
            finally:
                complaints.cancel()
    finally:
        os.close(silent)
        os.close(terminal)


async def _pass_on(child: Child, sink: ConsoleSink) -> None:
    """What comes after ipmitool's greeting, without its farewell."""
    greeted, pending = False, b""
    while data := await child.stdout.read(65536):
        pending += data
        if not greeted:
            greeting = GREETING.search(pending)
            if greeting is None:
                pending = pending[-MAX_GREETING_BYTES:]
                continue
            greeted, pending = True, pending[greeting.end() :]
        pending = _without_farewell(pending)
        cut = len(pending) - _suspect_bytes(pending)
        if cut:
            sink(pending[:cut])
            pending = pending[cut:]
    if greeted and pending:
        sink(pending)


def _without_farewell(data: bytes) -> bytes:
    for farewell in FAREWELLS:
        data = data.replace(farewell, b"")
    return data


def _suspect_bytes(data: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of a farewell."""
    for farewell in FAREWELLS:
        for length in range(len(farewell) - 1, LEAST_SUSPECT_BYTES - 1, -1):
            if data.endswith(farewell[:length]):
                return length
    return 0


async def _complaints(child: Child) -> str:
    kept = b""
    while data := await child.stderr.read(4096):
        kept = (kept + data)[:MAX_COMPLAINT_BYTES]
    return kept.decode("utf-8", "replace")


def _judge(session: IpmiSession, result: ChildResult) -> None:
    """Raises what the end of a session means; a session that was merely dropped means nothing."""
    if result.code == 0:
        return
    tried = "open the serial console"
    if refusal := NO_CONSOLE.search(result.stderr):
        raise DeviceRefused(
            tried,
            device=session.name,
            answer=refusal.group(0),
            advice="Enable serial-over-LAN for this user on the BMC, or do without the console",
        )
    raise session.error(tried, result)
