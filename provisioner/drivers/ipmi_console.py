"""A node's serial console by IPMI serial-over-LAN (IPMI 2.0 §15)."""

from __future__ import annotations

import asyncio
import os
import re

from provisioner.core.errors import DeviceRefused, PermanentError, TransientError
from provisioner.drivers.ipmi_session import IpmiSession
from provisioner.protocols.children import Child, ChildResult
from provisioner.protocols.power import ConsoleSink

RECONNECT_S = 2.0
"""After a lost session: a BMC that restarts must not be hammered."""

GREETING = re.compile(rb"\[SOL Session operational\.[^\]\r\n]*\]\r?\n")
MAX_GREETING_BYTES = 4096
MAX_COMPLAINT_BYTES = 4096

# What ipmitool prints among the console's bytes when a session ends.
FAREWELL = re.compile(
    rb"\r?\n?(SOL session closed by BMC|Error: No response to keepalive - Terminating session|"
    rb"\[terminated ipmitool\])\r?\n?"
)
# Long enough to see a farewell whole, should it come in two pieces.
HELD_BACK_BYTES = 80

NO_CONSOLE = re.compile(
    r"payload (type )?disabled|not supported|Invalid command|can.t determine which payload", re.IGNORECASE
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
            session.command_line(["sol", "activate"]), stdin=terminal
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
        cut = _safe_cut(pending)
        if cut:
            sink(pending[:cut])
            pending = pending[cut:]
    if greeted and (rest := FAREWELL.sub(b"", pending)):
        sink(rest)


def _safe_cut(pending: bytes) -> int:
    """How much of `pending` can't be the beginning of a farewell."""
    tail = pending[-HELD_BACK_BYTES:]
    suspect = re.search(
        rb"\r?\n?(SOL session|Error: No resp|\[terminated)|\r?\n?[SE\[]?[A-Za-z: ]{0,14}\Z", tail
    )
    return len(pending) - len(tail) + suspect.start() if suspect else len(pending)


async def _complaints(child: Child) -> str:
    kept = b""
    while data := await child.stderr.read(4096):
        kept = (kept + data)[:MAX_COMPLAINT_BYTES]
    return kept.decode("utf-8", "replace")


def _judge(session: IpmiSession, result: ChildResult) -> None:
    """Raises what the end of a session means; a session that was merely dropped means nothing."""
    if result.code == 0:
        return
    error = session.error("open the serial console", result)
    if NO_CONSOLE.search(result.stderr):
        raise DeviceRefused(
            error.tried,
            device=error.device,
            answer=error.answer,
            advice="Enable serial-over-LAN for this user on the BMC, or do without the console",
        )
    if isinstance(error, PermanentError | TransientError):
        raise error
