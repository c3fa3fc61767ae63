from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from bmsim.sandbox.firmware import NOBODY_CAME, keep_trying


async def watched(log: Path, *writes: tuple[bytes, bool]) -> int:
    """How often a restart was asked for while `writes` came to the console log one after the other; of each,
    whether it is to bring about one."""
    restarts = 0
    looked = asyncio.Event()

    def restart() -> None:
        nonlocal restarts
        restarts += 1
        loop.call_soon_threadsafe(looked.set)

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(keep_trying(log, restart, poll_s=0.001))
    for data, restarts_it in writes:
        looked.clear()
        with log.open("ab") as file:
            file.write(data)
        with suppress(TimeoutError):
            await asyncio.wait_for(looked.wait(), 20 if restarts_it else 0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return restarts


async def _count(log: Path, *writes: tuple[bytes, bool]) -> int:
    async with asyncio.timeout(60):
        return await watched(log, *writes)


def test_firmware_that_gave_up_is_restarted_each_time(tmp_path: Path) -> None:
    gave_up = (b"UEFI Interactive Shell" + NOBODY_CAME + b" Shell> ", True)
    assert asyncio.run(_count(tmp_path / "console.log", gave_up, gave_up)) == 2


def test_what_it_says_may_come_in_pieces(tmp_path: Path) -> None:
    pieces = ((NOBODY_CAME[:9], False), (NOBODY_CAME[9:], True))
    assert asyncio.run(_count(tmp_path / "console.log", *pieces)) == 1


def test_a_machine_that_boots_is_left_alone(tmp_path: Path) -> None:
    assert asyncio.run(_count(tmp_path / "console.log", (b"Debian GNU/Linux 12 n1 ttyS0", False))) == 0
