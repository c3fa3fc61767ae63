"""uvicorn, as a part of a process that has other parts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from provisioner.core.errors import PermanentError

STOP_TIMEOUT_S = 5


class Server(uvicorn.Server):
    """Signals are the process's business, not the server's. On `plain` sockets no TLS is spoken."""

    def __init__(self, config: uvicorn.Config, plain: Sequence[socket.socket] = ()) -> None:
        super().__init__(config)
        self._plain = plain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for sock in self._plain:
            self.servers.append(
                await loop.create_server(self._protocol, sock=sock, backlog=self.config.backlog)
            )

    def _protocol(self) -> asyncio.Protocol:
        # As uvicorn makes its own; it has one kind of connections alone.
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def run_until_cancelled(self, sockets: list[socket.socket]) -> None:
        try:
            await self.serve(sockets=sockets)
        except asyncio.CancelledError:
            self.should_exit = True
            await self.shutdown(sockets)
            raise


def tcp(listen: str, setting: str) -> socket.socket:
    """setting: that says so. Raises PermanentError."""
    address, _, port = listen.rpartition(":")
    bound = socket.socket(socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address, int(port)))
    except (OSError, OverflowError) as error:
        bound.close()
        raise PermanentError(
            f"listen at {listen}", answer=str(error), advice=f"Set {setting} to an address and port of ours"
        ) from error
    bound.listen(1024)
    return bound


@contextlib.contextmanager
def unix(path: Path) -> Iterator[socket.socket]:
    # Left by a killed process; a living one holds the state folder's lock, and we wouldn't be here.
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as bound:
        try:
            bound.bind(str(path))
        except OSError as error:
            raise PermanentError(
                f"listen at {path}",
                answer=str(error),
                advice="Set api.socket to a short path in a folder of ours",
            ) from error
        path.chmod(0o600)
        bound.listen(1024)
        try:
            yield bound
        finally:
            path.unlink(missing_ok=True)
