"""Our deploys a second beside OpenStack Ironic's, in one run on one machine.

    .venv/bin/python -m tests.benchmarks.ironic [--nodes 200] [--at-once 8] [--rounds 3] [--check]

Ironic comes from the package index into a virtual environment of its own in the cache, made on the first run.
It runs as its own all-in-one program (`ironic`: API and conductor in one process) with SQLite, the hardware
type `fake-hardware` without delays, no cleaning, no authentication. Ours is `provisioner serve` with nodes in
memory and SQLite. Both are asked over loopback by the same client with as many requests at once. Counted:
from the first request for a deploy until all nodes are active. Rounds alternate; each begins with an empty
database, and everything that was started ends with it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.control_plane import one_round
from tests.benchmarks.goals import Goal, exit_code, offer_check
from tests.ports import free_port

GOALS = (Goal("deploys: ours ÷ Ironic's", 10, at_least=True),)

VERSION = "39.0.0"
MICROVERSION = {"X-OpenStack-Ironic-API-Version": "1.90"}
START_S = 120.0
PHASE_S = 600.0
BUSY = (409, 503)
"""The node is locked, or no worker is free: Ironic's own clients ask again."""

INTERFACES = (
    *("bios", "boot", "console", "deploy", "firmware", "inspect", "management"),
    *("power", "raid", "rescue", "storage", "vendor"),
)


def environment() -> Path:
    """The folder of Ironic's programs, installed if they aren't."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "provisioner" / f"ironic-{VERSION}"
    done = folder / "installed"
    if not done.exists():
        print(f"installing Ironic {VERSION} to {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin/pip"), "install", "--quiet", f"ironic=={VERSION}"]
        subprocess.run(pip, check=True, stdin=subprocess.DEVNULL)
        done.touch()
    return folder / "bin"


def configuration(folder: Path, port: int) -> str:
    fakes = "\n".join(
        f"enabled_{name}_interfaces = fake\ndefault_{name}_interface = fake" for name in INTERFACES
    )
    return f"""[DEFAULT]
auth_strategy = noauth
rpc_transport = none
enabled_hardware_types = fake-hardware
{fakes}
enabled_network_interfaces = noop
default_network_interface = noop
host = bench
my_ip = 127.0.0.1
state_path = {folder}
log_file = {folder}/ironic.log
[api]
host_ip = 127.0.0.1
port = {port}
api_workers = 1
[conductor]
automated_clean = false
[database]
connection = sqlite:///{folder}/ironic.sqlite
[oslo_concurrency]
lock_path = {folder}/locks
[deploy]
http_root = {folder}/http
[pxe]
tftp_root = {folder}/tftp
"""


@asynccontextmanager
async def ironic(programs: Path, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """One of its own, and a client to it."""
    port, config = free_port(), folder / "ironic.conf"
    config.write_text(configuration(folder, port))
    given = ["--config-file", str(config)]
    with (folder / "output.log").open("wb") as log:
        subprocess.run(
            [programs / "ironic-dbsync", *given, "create_schema"], check=True, stdout=log, stderr=log
        )
        # A session of its own: it forks, and all of it is ended together.
        process = subprocess.Popen(
            [programs / "ironic", *given], stdout=log, stderr=log, start_new_session=True
        )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=MICROVERSION, timeout=120
        ) as client:
            await _ready(client, process, folder)
            yield client
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Whatever of it is left, and its first process too.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


async def _ready(client: httpx.AsyncClient, process: subprocess.Popen[bytes], folder: Path) -> None:
    """It answers, and its conductor is registered."""
    end = time.monotonic() + START_S
    while True:
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"Ironic didn't start:\n{(folder / 'output.log').read_text()[-3000:]}")
        try:
            answer = await client.get("/v1/drivers")
            if answer.status_code == 200 and answer.json()["drivers"]:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.2)


async def _each(client: httpx.AsyncClient, at_once: int, calls: list[tuple[str, str, Any]]) -> None:
    turns = asyncio.Semaphore(at_once)

    async def call(method: str, path: str, body: Any) -> None:
        async with turns:
            while True:
                answer = await client.request(method, path, json=body)
                if answer.status_code not in BUSY:
                    break
                await asyncio.sleep(0.05)
            if answer.is_error:
                raise SystemExit(f"{method} {path}: {answer.status_code} {answer.text}")

    await asyncio.gather(*(call(*arguments) for arguments in calls))


async def _until_all(client: httpx.AsyncClient, state: str) -> None:
    end = time.monotonic() + PHASE_S
    while True:
        answer = await client.get("/v1/nodes?fields=uuid,provision_state&limit=1000")
        states = [node["provision_state"] for node in answer.raise_for_status().json()["nodes"]]
        if set(states) == {state}:
            return
        if time.monotonic() > end:
            raise SystemExit(f"{states.count(state)} of {len(states)} became {state}: {set(states)}")
        await asyncio.sleep(0.2)


async def ironic_round(programs: Path, nodes: int, at_once: int) -> dict[str, float]:
    """Seconds of each phase."""
    took: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with ironic(programs, Path(folder)) as client:
            names = [f"n{number}" for number in range(nodes)]
            body = {"driver": "fake-hardware", "network_interface": "noop"}
            begun = time.monotonic()
            await _each(client, at_once, [("POST", "/v1/nodes", {"name": name, **body}) for name in names])
            for target, state in (("manage", "manageable"), ("provide", "available"), ("active", "active")):
                deploying = time.monotonic()
                orders = [("PUT", f"/v1/nodes/{name}/states/provision", {"target": target}) for name in names]
                await _each(client, at_once, orders)
                await _until_all(client, state)
                if state == "available":
                    took["enrol"] = time.monotonic() - begun
            took["deploy"] = time.monotonic() - deploying
            took["enrol + deploy"] = time.monotonic() - begun
    return took


def figures(theirs: Sequence[Mapping[str, float]], ours: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """theirs, ours: seconds of each phase, by rounds, for as many nodes. Of medians, as GOALS call them."""
    they, we = (statistics.median(took["deploy"] for took in rounds) for rounds in (theirs, ours))
    return {"deploys: ours ÷ Ironic's": they / we}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    offer_check(parser)
    given = parser.parse_args()
    # Ended from outside, it still ends what it has started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    programs = environment()
    theirs, ours = [], []
    for _ in range(given.rounds):
        theirs.append(asyncio.run(ironic_round(programs, given.nodes, given.at_once)))
        ours.append(asyncio.run(one_round(given.nodes, given.at_once)))
    for phase in ("enrol", "deploy", "enrol + deploy"):
        they = given.nodes / statistics.median(took[phase] for took in theirs)
        we = given.nodes / statistics.median(took[phase] for took in ours)
        print(
            f"{phase:>16}: Ironic {VERSION} {they:6.1f}/s, ours {we:6.1f}/s, {we / they:4.1f} times as many"
        )
    ratios = ", ".join(f"{they['deploy'] / we['deploy']:.1f}" for they, we in zip(theirs, ours, strict=True))
    print(f"deploys, round by round: {ratios} times")
    return exit_code(GOALS, figures(theirs, ours), check=given.check)


if __name__ == "__main__":
    sys.exit(main())
