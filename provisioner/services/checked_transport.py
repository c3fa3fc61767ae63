"""HTTP to addresses that were checked, wherever names and redirects lead.

A name is resolved once, and what is connected to is the address that was checked: a name server that answers
otherwise the next time changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

import httpcore
import httpx
import structlog

from provisioner.core.errors import PermanentError

log = structlog.get_logger(__name__)


class CheckedTransport(httpx.AsyncHTTPTransport):
    """Of each request and each redirect. No proxy is asked: it would resolve names by itself."""

    def __init__(self, allows: Callable[[str], bool]) -> None:
        super().__init__()
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(), network_backend=_CheckedNetwork(allows)
        )


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    def __init__(self, allows: Callable[[str], bool]) -> None:
        self._allows = allows
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Raises PermanentError when the host has no address that is allowed."""
        found = await _addresses(host, port, timeout)
        allowed = [address for address in found if self._allows(address)]
        if not allowed:
            # The addresses are for the operator to know: who asked could map what is inside by them.
            log.warning("image.url_refused", host=host, addresses=found)
            raise refused(host)
        for last, address in enumerate(allowed, 1 - len(allowed)):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if not last:
                    raise
        raise AssertionError("the last address was returned, or raised")


async def _addresses(host: str, port: int, timeout_s: float | None) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(f"{host} was not resolved") from error
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host}: {error}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def refused(host: str) -> PermanentError:
    error = PermanentError(
        f"fetch the image from {host[:255]}",
        answer="it has no address that members' images may come from",
        advice="Use an address of the Internet, send the bytes, or have an operator allow its network "
        "(`image_urls.also` of the configuration)",
    )
    error.code = "url-forbidden"
    return error
