"""Ports for programs that are told theirs before they listen."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from itertools import cycle, islice

FIRST, EACH, WORKERS = 20_000, 1_000, 12
"""Below those that the kernel gives to whoever asks for any (ip(7), ip_local_port_range: from 32,768 on), and
for each worker of pytest-xdist others: nobody has a port meanwhile that was free when it was looked for."""

_own = FIRST + EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % WORKERS)
# Another run of the tests begins elsewhere.
_ports = islice(cycle(range(_own, _own + EACH)), os.getpid() % EACH, None)


def free_port() -> int:
    """Of UDP and of TCP, at all addresses. One port comes again after all the others."""
    return next(port for port in islice(_ports, EACH) if _is_free(port))


def _is_free(port: int) -> bool:
    with ExitStack() as stack:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            try:
                stack.enter_context(socket.socket(socket.AF_INET, kind)).bind(("", port))
            except OSError:
                return False
    return True
