"""The code that stories play in virtual time gets time, chance and threads by its constructors alone."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

import provisioner
from provisioner.api.application import ROUTERS

ROOT = Path(provisioner.__file__).parent
LAYERS = ("core", "protocols", "api", "scheduler", "compute")
FILES = sorted(
    [path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")]
    + [ROOT / "store" / name for name in ("memory.py", "topics.py", "conditions.py")]
)
AMBIENT_MODULES = {"time", "random", "secrets", "threading", "concurrent", "multiprocessing", "subprocess"}
AMBIENT_CALLS = {
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today", "uuid.uuid1", "uuid.uuid4"),
    *("uuid1", "uuid4", "os.urandom", "asyncio.to_thread", "run_in_executor", "asyncio.sleep", "hash", "id"),
}
ALLOWED = {
    ("memory.py", "asyncio.sleep"),  # the store's twin lets others run meanwhile: sleep(0) takes no time
    ("children.py", "subprocess"),  # names DEVNULL, and starts nothing
}


def ambient(source: str) -> Iterator[str]:
    """What of a source reaches past its constructor, with its line."""
    for found in ast.walk(ast.parse(source)):
        if isinstance(found, ast.Import | ast.ImportFrom):
            module = found.module if isinstance(found, ast.ImportFrom) else None
            for name in [module] if module else [alias.name for alias in found.names]:
                if name.partition(".")[0] in AMBIENT_MODULES:
                    yield f"{found.lineno}: {name}"
        elif isinstance(found, ast.Call):
            called = ast.unparse(found.func)
            if called in AMBIENT_CALLS or called.rpartition(".")[2] == "run_in_executor":
                yield f"{found.lineno}: {called}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_time_chance_and_threads_come_by_constructor(path: Path) -> None:
    found = list(ambient(path.read_text()))
    assert [one for one in found if (path.name, one.partition(": ")[2]) not in ALLOWED] == []


@pytest.mark.parametrize(
    "source",
    (
        "import time",
        "from time import monotonic",
        "from secrets import token_hex",
        "def f():\n    import threading",
        "datetime.now(UTC)",
        "await asyncio.to_thread(f)",
        "loop.run_in_executor(None, f)",
    ),
)
def test_the_check_finds_what_it_looks_for(source: str) -> None:
    assert list(ambient(source))


def _calls(dependant: Dependant) -> Iterator[object]:
    if dependant.call is not None:
        yield dependant.call
    for part in dependant.dependencies:
        yield from _calls(part)


def test_no_handler_and_no_dependency_of_the_api_runs_in_a_thread() -> None:
    """FastAPI sends whatever isn't async to a thread."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) > 30
    threaded = {
        f"{route.path}: {call}"
        for route in routes
        for call in _calls(route.dependant)
        if not inspect.iscoroutinefunction(call)
    }
    assert threaded == set()


def test_every_file_of_the_layers_is_looked_at() -> None:
    for layer in LAYERS:
        assert importlib.import_module(f"provisioner.{layer}").__file__ in {str(path) for path in FILES}
