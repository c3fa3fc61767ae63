"""How long a login and a power status take, and what a BMC weighs: `python -m tests.benchmarks.bmc`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.contract.bmsim.bmc import PASSWORD, USER, Bmc, running_bmc

TIMES = 20


PYGHMI = """
import json, sys, time
from pyghmi.ipmi.command import Command
address, port, user, password = json.load(sys.stdin)
begun = time.perf_counter()
client = Command(address, user, password, port=port)
assert client.get_power() == {"powerstate": "on"}
print(time.perf_counter() - begun)
client.ipmi_session.logout()
"""
"""A process for each login, since pyghmi's client trips over the sessions that it had before.

Its median is its own: an answer that comes before it waits for it (ours take a millisecond) is noticed only
when its timer of 0.5 to 1 s ends. The best of them tells of the BMC.
"""


def by_ipmitool(bmc: Bmc, suite: int) -> float:
    begun = time.perf_counter()
    assert bmc.ipmitool("power", "status", suite=suite).code == 0
    return time.perf_counter() - begun


def by_pyghmi(bmc: Bmc) -> float:
    given = json.dumps([bmc.address, bmc.port, USER, PASSWORD])
    done = subprocess.run(
        [sys.executable, "-c", PYGHMI], input=given, capture_output=True, text=True, check=True, timeout=60
    )
    return float(done.stdout)


def took(measure: Callable[[], float]) -> str:
    taken = [measure() * 1000 for _ in range(TIMES)]
    return f"{statistics.median(taken):6.1f} ms (best {min(taken):.1f})"


def memory(bmc: Bmc) -> dict[str, int]:
    """In KiB."""
    lines = Path(f"/proc/{bmc.process.pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running_bmc(Path(folder)) as bmc:
        print(f"login and power status, median of {TIMES}:")
        print(f"  ipmitool, suite 3:   {took(lambda: by_ipmitool(bmc, 3))}, its start included")
        print(f"  ipmitool, suite 17:  {took(lambda: by_ipmitool(bmc, 17))}, its start included")
        print(f"  pyghmi, suite 17:    {took(lambda: by_pyghmi(bmc))}")
        weighs = memory(bmc)
        print(f"memory: {weighs['Pss'] / 1024:.0f} MiB proportional, {weighs['Rss'] / 1024:.0f} MiB resident")


if __name__ == "__main__":
    main()
