"""What a simulated story must never touch: real time, chance, threads, sockets and processes.

Inside `forbidden()`, whatever the thread that entered it does of that kind raises RealityError, which names
the caller. Swallowed on the way, it is raised again at the end. The clocks and sources of chance that code
took by name at import (`from time import monotonic`) can't be watched, nor can datetime's, nor a lock that
waits: a test forbids that in our own code.
"""

from __future__ import annotations

import _thread
import os
import random
import secrets
import select
import selectors
import signal
import sys
import sysconfig
import threading
import time
import uuid
from asyncio import events
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from scenarios.runner.waits import place

FED: dict[str, str] = {
    "logging": "stamps each record",
    "structlog.processors": "stamps each line",
    "structlog.stdlib": "stamps each line",
    "httpx._client": "measures how long an answer took",
    "http.cookiejar": "ages cookies",
    "prometheus_client.metrics": "notes when a counter was made",
}
"""Modules that get virtual time instead of an error, and what they want it for. None acts by it."""

_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
_TIME = (*_CLOCKS, *(f"{clock}_ns" for clock in _CLOCKS), "clock_gettime", "clock_gettime_ns")
_RANDOM = (
    *("random", "uniform", "randint", "randrange", "choice", "choices", "sample", "shuffle", "getrandbits"),
    *("randbytes", "seed", "gauss", "normalvariate", "expovariate", "triangular", "betavariate"),
)
_DATES = ("localtime", "gmtime", "ctime", "asctime", "strftime")
_WAITS = "threading.Condition.wait"
_GIVEN = {**{f"time.{name}": 0 for name in _DATES}, "time.strftime": 1, "random.Random.seed": 1, _WAITS: 1}
"""What takes a time, a seed or a timeout as this argument, and without it what the world has."""
_PATCHED: dict[ModuleType | type, tuple[str, ...]] = {
    time: ("sleep", *_TIME, *_DATES),
    select: ("select", "poll", "epoll"),
    **dict.fromkeys((selectors.EpollSelector, selectors.PollSelector, selectors.SelectSelector), ("select",)),
    signal: ("sigwait", "sigwaitinfo", "sigtimedwait", "pause"),
    BaseProcess: ("start",),
    threading.Condition: ("wait",),  # by which events, queues, semaphores and the futures of threads wait
    _thread: ("start_new_thread",),
    threading: ("_start_new_thread", "_start_joinable_thread"),  # until 3.12; since 3.13
    os: ("urandom", "getrandom"),
    uuid: ("uuid1", "uuid4"),
    secrets: ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "choice", "randbits"),
    random: (*_RANDOM, "_urandom"),  # the last is SystemRandom's
    random.Random: ("seed",),
}
_AUDITED = frozenset(
    (
        *("socket.__new__", "socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.bind"),
        *("socket.sendto", "socket.sendmsg"),
        *("subprocess.Popen", "os.posix_spawn", "os.spawn", "os.system", "os.exec", "os.fork", "os.forkpty"),
    )
)
_CHANGES = frozenset(
    f"os.{call}" for call in ("mkdir", "rmdir", "remove", "rename", "truncate", "link", "symlink")
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
OF_LOOPS = (
    *("run_in_executor", "getaddrinfo", "getnameinfo", "subprocess_exec", "subprocess_shell"),
    *("create_connection", "create_server", "create_unix_connection", "create_unix_server", "start_tls"),
    *("create_datagram_endpoint", "connect_accepted_socket", "connect_read_pipe", "connect_write_pipe"),
    *("add_reader", "remove_reader", "add_writer", "remove_writer", "sendfile", "sock_sendfile"),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendall", "sock_sendto"),
    *("sock_connect", "sock_accept", "add_signal_handler", "remove_signal_handler"),
)
"""What an event loop offers that leads out of the process, or to another thread of it."""

_STDLIB = sysconfig.get_path("stdlib")
_CODE = (str(Path(__file__).parents[2]), sys.prefix, f"{sys.base_prefix}/lib/python3")
"""Beginnings of the paths at which files may be read: code is the same in each playing."""
_OURS = frozenset((__file__, str(Path(__file__).with_name("virtual_loop.py"))))


class RealityError(Exception):
    """Code of the story reached for the real world. Inject what it wanted (a Clock, Ids, a driver)."""


class _Watch:
    """The one story that is being guarded in this interpreter, if any."""

    def __init__(self) -> None:
        self.depth = 0
        self.thread = 0
        self.seen: list[RealityError] = []
        self.hooked = False

    @property
    def concerns_us(self) -> bool:
        return self.depth > 0 and threading.get_ident() == self.thread


_watch = _Watch()


@contextmanager
def forbidden() -> Iterator[None]:
    """Nests. Raises the first RealityError at its end, if the code inside hid it."""
    if _watch.depth:
        if not _watch.concerns_us:
            raise RuntimeError("another thread plays a story in this process: use a process for each")
        yield
        return
    if not _watch.hooked:
        sys.addaudithook(_audit)  # can't be removed, but costs a look-up only
        _watch.hooked = True
    watched = [
        (module, name) for module, names in _PATCHED.items() for name in names if hasattr(module, name)
    ]
    originals = [(module, name, getattr(module, name)) for module, name in watched]
    _watch.depth, _watch.thread, _watch.seen = 1, threading.get_ident(), []
    for module, name, original in originals:
        setattr(module, name, _guarded(module, name, original))
    try:
        yield
        if _watch.seen:
            raise _watch.seen[0]
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
        _watch.depth = 0


def refuse(what: str) -> NoReturn:
    """Raises RealityError for whoever wanted `what`."""
    error = RealityError(f"{what} was wanted by {_caller()}: no story may touch the real world")
    _watch.seen.append(error)
    raise error


def refusal(what: str) -> Callable[..., NoReturn]:
    """In the place of a function."""

    def refused(*args: Any, **options: Any) -> NoReturn:
        refuse(what)

    return refused


def _audit(event: str, given: tuple[Any, ...]) -> None:
    if event in _AUDITED and _watch.concerns_us:
        refuse(event)
    if event == "open" and _watch.concerns_us and not _is_of_code(*given):
        refuse(f"open of {given[0]}")
    # Modules are compiled as they are imported.
    if event in _CHANGES and _watch.concerns_us and "__pycache__" not in str(given[0]):
        refuse(f"{event} of {given[0]}")


def _is_of_code(path: Any, _: object, flags: int) -> bool:
    """Whether it is read, or compiled as it is imported; a traceback reads whatever code was run."""
    if isinstance(path, int):
        return True
    place = str(Path(os.fsdecode(path)).absolute())
    return ".pyc" in place or (not flags & _WRITES and (place.endswith(".py") or place.startswith(_CODE)))


def _asks(what: str, given: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Whether it is the real world that is asked, and not what the caller has given."""
    if (place := _GIVEN.get(what)) is None:
        return True
    value = next(iter((*given[place:], *named.values())), None)
    return value is None or (what == _WAITS and value > 0)  # without a timeout left it only looks


def _guarded(owner: ModuleType | type, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    what = f"{owner.__module__}.{owner.__name__}" if isinstance(owner, type) else owner.__name__
    what += f".{name}"
    per_second = 1_000_000_000 if name.endswith("_ns") else 1

    def guarded(*args: Any, **options: Any) -> Any:
        if not _watch.concerns_us or not _asks(what, args, options):
            return original(*args, **options)
        if name in _TIME and sys._getframe(1).f_globals.get("__name__") in FED:
            return type(per_second)(_virtual_s() * per_second) if per_second > 1 else _virtual_s()
        return refuse(what)

    return guarded


def _virtual_s() -> float:
    loop = events._get_running_loop()
    return loop.time() if loop is not None else 0.0


def _caller() -> str:
    """The innermost code that is neither the standard library's nor the loop's; else the innermost."""
    innermost = frame = sys._getframe(2)
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        if innermost.f_code.co_filename in _OURS:
            innermost = frame
        installed = "site-packages" in name or "dist-packages" in name
        if name not in _OURS and (installed or not name.startswith((_STDLIB, "<frozen"))):
            return place(frame)
        frame = frame.f_back
    return place(innermost)
