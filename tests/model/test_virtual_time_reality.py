"""Inside `forbidden`, whatever would make a story differ from its replay is refused, with its caller."""

from __future__ import annotations

import ast
import asyncio
import linecache
import logging
import multiprocessing
import os
import random
import secrets
import select
import selectors
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest
import structlog

from scenarios.runner.reality import RealityError, forbidden
from scenarios.runner.virtual_time import run

ROOT = Path(__file__).parents[2]


def _submit() -> None:
    with ThreadPoolExecutor() as pool:
        pool.submit(print)


SPAWNED = multiprocessing.get_context("spawn").Process

REALITY: dict[str, Callable[[], object]] = {
    "time.sleep": lambda: time.sleep(0),
    "time.time": lambda: time.time(),
    "time.time_ns": lambda: time.time_ns(),
    "time.monotonic": lambda: time.monotonic(),
    "time.perf_counter": lambda: time.perf_counter(),
    "time.clock_gettime": lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    "os.urandom": lambda: os.urandom(1),
    "uuid.uuid4": lambda: uuid.uuid4(),
    "uuid.uuid1": lambda: uuid.uuid1(),
    "secrets.token_hex": lambda: secrets.token_hex(4),
    "random.random": lambda: random.random(),
    "random.choice": lambda: random.choice("ab"),
    "socket.__new__": lambda: socket.socket(),
    "socket.getaddrinfo": lambda: socket.getaddrinfo("localhost", 80),
    "subprocess.Popen": lambda: subprocess.run(["true"], check=True),
    "os.fork": lambda: os.fork() or os._exit(1),
    "os.system": lambda: os.system("true"),
    "threading._start_": lambda: threading.Thread(target=print).start(),
    "threading.Condition.wait": lambda: threading.Event().wait(0.01),
    "select.select": lambda: select.select([], [], [], 0.01),
    "select.poll": lambda: select.poll(),
    "selectors.EpollSelector.select": lambda: selectors.DefaultSelector().select(0.01),
    "signal.sigtimedwait": lambda: signal.sigtimedwait([signal.SIGUSR1], 0),
    "multiprocessing.process.BaseProcess.start": lambda: SPAWNED().start(),
    "os.mkdir of /proc/new": lambda: Path("/proc/new").mkdir(),
    "os.remove of /proc/gone": lambda: Path("/proc/gone").unlink(),
    "os.rename of /proc/gone": lambda: Path("/proc/gone").rename("/proc/new"),
    "time.localtime": lambda: time.localtime(),
    "time.gmtime": lambda: time.gmtime(None),
    "time.ctime": lambda: time.ctime(),
    "time.strftime": lambda: time.strftime("%F"),
    "random.Random.seed": lambda: random.Random(),
    "random._urandom": lambda: random.SystemRandom().randrange(2),
    "open of /etc/hostname": lambda: Path("/etc/hostname").read_text(),
    "open of /dev/null": lambda: Path("/dev/null").write_text("of a story"),
    "open of /etc/passwd": lambda: os.open("/etc/passwd", os.O_RDONLY),
}


@pytest.mark.parametrize("what", REALITY)
def test_the_real_world_is_refused_and_its_caller_named(what: str) -> None:
    call = REALITY[what]
    place = f"tests/model/test_virtual_time_reality.py:{call.__code__.co_firstlineno} in"

    async def main() -> None:
        call()

    with pytest.raises(RealityError) as caught, forbidden():
        run(main(), seed=0)
    assert str(caught.value).startswith(what)
    assert place in str(caught.value)


def test_executors_and_connections_of_the_loop_are_refused() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(
            RealityError, match=r"run_in_executor .* tests/model/test_virtual_time_reality.py"
        ):
            await asyncio.to_thread(print)
        with pytest.raises(RealityError, match="create_connection"):
            await asyncio.open_connection("127.0.0.1", 1)
        with pytest.raises(RealityError, match="subprocess_exec"):
            await asyncio.create_subprocess_exec("true")
        with pytest.raises(RealityError, match="getaddrinfo"):
            await loop.getaddrinfo("localhost", 80)
        with pytest.raises(RealityError, match="create_datagram_endpoint"):
            await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))

    run(main(), seed=0)


def test_a_thread_pool_is_refused_where_its_thread_starts() -> None:
    with pytest.raises(RealityError, match=r"threading\._start_"), forbidden():
        _submit()


def test_who_swallows_the_refusal_is_told_at_the_end() -> None:
    async def main() -> None:
        with suppress(Exception):
            time.monotonic()

    with pytest.raises(RealityError, match=r"time\.monotonic"), forbidden():
        run(main(), seed=0)


def test_afterwards_everything_is_as_before() -> None:
    before = {what: getattr(time, what) for what in ("time", "sleep", "monotonic")}
    with pytest.raises(KeyError), forbidden():
        raise KeyError
    assert {what: getattr(time, what) for what in before} == before
    assert time.monotonic() > 0
    assert len(os.urandom(4)) == 4
    socket.socket().close()
    threading.Thread(target=lambda: None).start()


def test_other_threads_are_left_alone() -> None:
    got: list[float] = []
    begin, ended = threading.Event(), threading.Event()

    def elsewhere() -> None:
        begin.wait()
        got.append(time.monotonic())
        got.append(random.random())
        socket.socket().close()
        ended.set()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with forbidden():
        begin.set()
        thread.join()
    assert ended.is_set()
    assert len(got) == 2


def test_log_records_bear_virtual_time(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        await asyncio.sleep(42)
        with caplog.at_level(logging.INFO):
            logging.getLogger("story").info("hello")
        structlog.get_logger().bind(node="n1")

    with forbidden():
        run(main(), seed=0)
    assert caplog.records[0].created == 42.0


def test_a_random_generator_of_ones_own_seed_is_fine() -> None:
    with forbidden():
        assert random.Random(1).random() == random.Random(x=1).random()


def test_a_time_that_is_given_may_be_written_as_a_date() -> None:
    with forbidden():
        date = time.gmtime(0)
        assert time.strftime("%F", date) == "1970-01-01"
        assert time.ctime(0) and time.localtime(0)


def test_code_may_be_read_as_imports_and_tracebacks_do(tmp_path: Path) -> None:
    """Also while it is compiled."""
    with forbidden():
        assert Path(__file__).read_text().startswith('"""Inside')
        linecache.checkcache()
        assert linecache.getline(str(ROOT / "tests" / "ports.py"), 1)
        with tempfile_of_compiled(tmp_path) as file:
            file.write(b"compiled")


def tempfile_of_compiled(folder: Path) -> IO[bytes]:
    """As importlib calls it."""
    return (folder / "ports.cpython-311.pyc.140").open("wb")


# What runs outside of the story's process, or is replaced in it, may ask the real world: but for what the
# model itself imports of that.
REAL_EDGES = ("services", "store", "cli", "agent", "ramdisk", "app")
DATES = {"localtime", "gmtime", "ctime", "strftime"}
CLOCKS_AND_CHANCE = {"time", "random", "secrets", "uuid"}
OURS = ("bmsim", "provisioner", "scenarios")


def _modules() -> list[Path]:
    for_sure = [
        *((ROOT / "scenarios" / "runner" / "model").rglob("*.py")),
        *((ROOT / "bmsim" / "devices").rglob("*.py")),
        *(
            path
            for path in (ROOT / "provisioner").rglob("*.py")
            if path.relative_to(ROOT / "provisioner").parts[0] not in REAL_EDGES
        ),
    ]
    return sorted(_with_what_they_import(for_sure))


def _with_what_they_import(paths: list[Path]) -> set[Path]:
    """Ours, by name: packages above them are imported too, and what stands there isn't played for that."""
    found: set[Path] = set()
    while paths:
        path = paths.pop()
        if path not in found:
            found.add(path)
            paths += filter(None, map(_file_of, _imported(ast.parse(path.read_text()))))
    return found


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _file_of(module: str) -> Path | None:
    """None: it isn't ours, or no module at all."""
    if module.partition(".")[0] not in OURS:
        return None
    place = ROOT / module.replace(".", "/")
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in files if path.exists()), None)


def _reaches_for_reality(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner: Any = node.value
            of_datetime = getattr(owner, "id", getattr(owner, "attr", "")) in ("datetime", "date")
            if node.attr in ("now", "utcnow", "today") and of_datetime:
                yield node.lineno, f"calls datetime's {node.attr}, which no patch can catch"
            elif node.attr in DATES and getattr(owner, "id", "") == "time":
                yield node.lineno, f"calls time's {node.attr}, which knows the date"
        if isinstance(node, ast.Call):
            yield from _asks_for_reality(node)
        if isinstance(node, ast.ImportFrom) and node.module in CLOCKS_AND_CHANCE:
            for name in {alias.name for alias in node.names} - {"Random", "UUID"}:
                yield node.lineno, f"takes {name} from {node.module} by name, where no patch can catch it"


def _asks_for_reality(call: ast.Call) -> Iterator[tuple[int, str]]:
    called = getattr(call.func, "id", getattr(call.func, "attr", ""))
    given = bool(call.args or call.keywords)
    if called == "SystemRandom" or (called == "Random" and not given):
        yield call.lineno, f"makes a {called} without a seed"
    elif called == "acquire" and given:
        yield call.lineno, "waits for a lock by the real clock, which no patch can catch"


def test_what_plays_of_the_store_and_the_wiring_is_searched() -> None:
    searched = {str(path.relative_to(ROOT)) for path in _modules()}
    assert {"provisioner/store/memory.py", "provisioner/app/power_devices.py"} <= searched
    assert not {"provisioner/store/sqlite.py", "provisioner/app/serve.py"} & searched


def test_code_that_plays_in_stories_takes_no_clock_where_it_cannot_be_caught() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {what}"
        for path in _modules()
        for line, what in _reaches_for_reality(ast.parse(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "time.strftime('%F')",
        "from time import monotonic",
        "from uuid import uuid4",
        "Random()",
        "random.Random()",
        "random.SystemRandom()",
        "lock.acquire(timeout=1)",
    ],
)
def test_the_search_for_such_code_finds_it(code: str) -> None:
    assert list(_reaches_for_reality(ast.parse(code)))
