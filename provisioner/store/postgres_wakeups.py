"""Wake-ups between processes by PostgreSQL's LISTEN and NOTIFY.

Hints: whoever misses one finds out by polling.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable

import psycopg
import structlog

from provisioner.store.postgres import CHANNEL, Postgres
from provisioner.store.postgres_line import cut_when_silent
from provisioner.store.topics import Topics

log = structlog.get_logger(__name__)

MAX_PAYLOAD = 7_000  # characters; PostgreSQL takes fewer than 8,000 bytes, and topics are ASCII
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
ANSWER_S = 10.0
DRAIN_S = 0.01
"""Waited for what comes together."""


class Wakeups:
    """Hears what other processes stored, while `run` runs."""

    def __init__(self, database: Postgres, topics: Topics) -> None:
        self._database = database
        self._topics = topics
        self._sender = secrets.token_hex(8)

    def payloads(self, topics: Iterable[str]) -> list[str]:
        """What to notify CHANNEL of: who says it, and the topics, in as few texts as they fit in."""
        texts: list[str] = []
        for topic in dict.fromkeys(topics):
            if texts and len(texts[-1]) + len(topic) < MAX_PAYLOAD:
                texts[-1] += f" {topic}"
            else:
                texts.append(f"{self._sender} {topic}")
        return texts

    async def run(self) -> None:
        """Until cancelled; connects again, ever more slowly, when the connection breaks."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with await self._database.connect() as connection:
                    with cut_when_silent(connection, ANSWER_S):
                        await connection.execute(f"LISTEN {CHANNEL}")
                    pause_s = FIRST_PAUSE_S
                    # Something may have been said meanwhile: the first time, since whoever watches looked.
                    self._topics.notify_all()
                    while True:
                        async for notice in connection.notifies(timeout=DRAIN_S):
                            self._heard(notice.payload)
                        # psycopg itself would look ten times a second.
                        await _readable(connection.fileno())
            except (psycopg.Error, OSError) as error:
                log.warning(
                    "store.wakeups_lost", cause=" ".join(str(error).split()), again_in_s=round(pause_s, 1)
                )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _heard(self, payload: str) -> None:
        sender, *topics = payload.split(" ")
        if sender != self._sender:
            self._topics.notify(topics)


async def _readable(number: int) -> None:
    """Returns when there is something to read, or the connection has ended."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[None] = loop.create_future()
    loop.add_reader(number, lambda: None if came.done() else came.set_result(None))
    try:
        await came
    finally:
        loop.remove_reader(number)
