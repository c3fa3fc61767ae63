from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from structlog.testing import capture_logs

from provisioner.app.tls import WARN_DAYS, ServerTls
from provisioner.services.local_ca import TlsFolder, issue

BEGUN = datetime.now(UTC)


class Days:
    """Time that goes on by eight hours while somebody sleeps, until `last`."""

    def __init__(self, last: datetime) -> None:
        self.now = BEGUN
        self._last = last

    def wall(self) -> datetime:
        return self.now

    def monotonic_s(self) -> float:
        return (self.now - BEGUN).total_seconds()

    async def sleep(self, duration_s: float) -> None:
        self.now += timedelta(hours=8)
        if self.now > self._last:
            raise asyncio.CancelledError


def test_who_runs_on_is_warned_each_day_of_a_certificate_that_ends(tmp_path: Path) -> None:
    folder = TlsFolder(tmp_path)
    until = issue(folder, ["a"], BEGUN)
    days = Days(until - timedelta(days=WARN_DAYS - 2, hours=1))
    with capture_logs() as logs:
        tls = ServerTls(folder.certificate, None, days.wall)
        assert not logs

        async def story() -> None:
            following = asyncio.create_task(tls.follow(days))
            await asyncio.wait([following])

        asyncio.run(story())
    assert [(one["event"], one["days_left"]) for one in logs] == [
        ("tls.expires", WARN_DAYS - 1),
        ("tls.expires", WARN_DAYS - 2),
    ]
