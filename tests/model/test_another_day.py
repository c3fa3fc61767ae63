"""A story of many parts is the same, byte for byte, in another process, on another day, elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path

import pytest

from scenarios.runner.compile import story_of
from scenarios.runner.load import read_text
from scenarios.runner.play import play_story
from scenarios.runner.stage import Fidelity
from scenarios.runner.verdict import Verdict

ROOT = Path(__file__).parents[2]
DEADLINE_S = 300

PARTS = """\
name: parts-of-all-kinds
why: two hosts, outlets, roots by NFS, boards and chance, each of which has an order of its own
source: the 2012 blueprint's mixed rack
rack:
  compute_hosts: 2
  nodes:
    - {name: n1}
    - {name: n2, firmware: uefi, power: two-pdus}
    - {name: n3, arch: armhf, firmware: uboot, boot: uboot, power: pdu, deploy: nfs}
    - {name: n4, arch: tilepro64, firmware: tilera, boot: tilera, power: two-pdus}
requests:
  - {deploy: n1, image: tiny}
  - {deploy: any, as: second, image: tiny-disk}
  - {deploy: n3, image: tiny-armhf}
  - {deploy: n4, image: tiny-tilepro64}
  - {delete: i-n1}
  - {delete: i-n3}
  - {delete: i-n4}
faults:
  - {do: host.kill, target: owner, when: {node: n3, step: make_root}, heal_after_s: 60}
  - {do: pdu.half_off, target: n4, when: {event: pdu.outlet.on, node: n4}, heal_after_s: 30}
  - {do: net.drop, target: n1, with: {probability: 0.2}, heal: {at_s: 200}, may_miss: true}
  - {do: db.slow, with: {delay_s: 0.3}, when: {probability: 0.1, per: step}, heal_after_s: 5, may_miss: true}
"""

AHEAD = timedelta(days=400, hours=7)

ON_ANOTHER_DAY = f"""\
import datetime, time

AHEAD_S = {AHEAD.total_seconds()}
CLOCKS = ("time", "monotonic", "perf_counter", "process_time")


def ahead(clock, ahead):
    return lambda: clock() + ahead


for name in CLOCKS:
    setattr(time, name, ahead(getattr(time, name), AHEAD_S))
    setattr(time, name + "_ns", ahead(getattr(time, name + "_ns"), int(AHEAD_S * 1e9)))


class Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds=AHEAD_S)

    @classmethod
    def utcnow(cls):
        return super().utcnow() + datetime.timedelta(seconds=AHEAD_S)

    @classmethod
    def today(cls):
        return cls.now()


class Date(datetime.date):
    @classmethod
    def today(cls):
        return super().today() + datetime.timedelta(seconds=AHEAD_S)


datetime.datetime, datetime.date = Datetime, Date
"""
"""What an interpreter does that finds this as its sitecustomize: whoever asks it for the time asks later."""


def trace_of(seed: int) -> str:
    """A line for each event."""
    story = story_of(read_text(PARTS, "parts.yaml"), Fidelity.MODEL, seed)
    played = play_story(story, Fidelity.MODEL, seed)
    assert played.result.verdict is Verdict.PASS, played.result
    return "\n".join(event.to_json() for event in played.trace)


def _on_another_day(seed: int, hash_seed: str, folder: Path) -> tuple[datetime, str]:
    """Which day it was there, and the trace."""
    (folder / "sitecustomize.py").write_text(ON_ANOTHER_DAY)
    code = (
        "import datetime\n"
        "from tests.model.test_another_day import trace_of\n"
        "print(datetime.datetime.now(datetime.UTC).isoformat())\n"
        f"print(trace_of({seed}), end='')\n"
    )
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(folder), "TZ": "Pacific/Kiritimati"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    )
    day, _, trace = done.stdout.partition("\n")
    return datetime.fromisoformat(day), trace


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (2, 3))])
def test_a_story_is_the_same_on_another_day(seed: int, tmp_path: Path) -> None:
    here = trace_of(seed)
    day, there = _on_another_day(seed, "4711", tmp_path)
    assert day > datetime.now(UTC) + AHEAD / 2
    pairs = zip_longest(here.splitlines(), there.splitlines())
    assert next((pair for pair in pairs if pair[0] != pair[1]), None) is None


def test_all_of_its_parts_play() -> None:
    """Else the test above proves less than it says."""
    trace = trace_of(1)
    for part in (
        '"sender":"ch1"',
        '"sender":"ch2"',
        '"source":"pdu"',
        "make_root",
        "board_answers",
        "net.drop",
    ):
        assert part in trace, part
    assert len(trace.splitlines()) > 300
