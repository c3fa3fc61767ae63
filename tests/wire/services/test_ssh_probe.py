"""What the look for an SSH server makes of those that aren't, or that aren't like the others."""

from __future__ import annotations

import asyncio

import pytest

from provisioner.services.ssh_probe import TcpSshProbe
from tests.wire.services.segment import NODE, segment
from tests.wire.services.ssh_servers import (
    GREETING,
    Serve,
    greets_after_other_lines,
    greets_when_greeted,
    hangs_up,
    listening,
    says_a_line_without_end,
    says_lines_without_end,
    says_nothing,
    speaks_http,
)

pytestmark = pytest.mark.wire

DEADLINE_S = 60.0


def banner(serve: Serve) -> str | None:
    async def asked() -> str | None:
        with segment() as made:
            async with asyncio.timeout(DEADLINE_S), listening(made, serve):
                return await TcpSshProbe().banner(NODE)

    return asyncio.run(asked())


@pytest.mark.parametrize("serve", [greets_when_greeted, greets_after_other_lines])
def test_a_server_is_known_by_its_line(serve: Serve) -> None:
    assert banner(serve) == GREETING.decode().strip()


@pytest.mark.parametrize(
    "serve", [says_nothing, hangs_up, speaks_http, says_a_line_without_end, says_lines_without_end]
)
def test_whoever_does_not_greet_is_no_ssh_server(serve: Serve) -> None:
    assert banner(serve) is None
