"""How long `script/demo` takes, to a login with the key that was asked for and down again.

    .venv/bin/python -m tests.benchmarks.demo [--image tiny] [--check]

Plays it twice, with a state of its own and the caches that any demo has here. The first run may have to build
the deploy ramdisk and the image; the second one is measured. Either fails that tells no login, or leaves
something behind.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import dataclass

from tests.benchmarks.goals import Goal, exit_code, offer_check
from tests.machine.demo import demo, is_down, is_proven, new_home

GOALS = (Goal("second run", 120, "s"),)

_CHAPTER = re.compile(r"^== (.+)  \((\d+) s\)$", re.MULTILINE)
_STEP = re.compile(r"^✓ +(\w+) +(\d+\.\d) s  ", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """Seconds. A chapter takes until the next begins, to the second; the last one until the end."""

    whole: float
    chapters: dict[str, float]
    steps: dict[str, float]

    @classmethod
    def read(cls, told: str, whole_s: float) -> Run:
        begun = [(title, float(at_s)) for title, at_s in _CHAPTER.findall(told)]
        ends = [*(at_s for _, at_s in begun[1:]), whole_s]
        chapters = {title: end - at_s for (title, at_s), end in zip(begun, ends, strict=True)}
        return cls(whole_s, chapters, {name: float(took_s) for name, took_s in _STEP.findall(told)})


def played(*words: str) -> Run:
    with new_home() as home:
        began_s = time.monotonic()
        told = demo(home, *words)
        whole_s = time.monotonic() - began_s
        is_proven(told, *words)
        is_down(home, told)
    return Run.read(told, whole_s)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image", choices=("debian", "tiny"), default="debian")
    parser.add_argument("--json", action="store_true")
    offer_check(parser)
    arguments = parser.parse_args()
    words = () if arguments.image == "debian" else ("--image", arguments.image)
    first = played(*words)
    print(f"first run: {first.whole:.1f} s", file=sys.stderr, flush=True)
    second = played(*words)
    if arguments.json:
        told = {"whole_s": second.whole, "chapters_s": second.chapters, "steps_s": second.steps}
        print(json.dumps({"first_run_s": first.whole, **told}))
    else:
        print(f"{second.whole:6.1f} s  second run")
        for title, took_s in second.chapters.items():
            print(f"{took_s:6.1f} s  {title}")
        print("where the instance's time went, by step:")
        for name, took_s in second.steps.items():
            print(f"{took_s:6.1f} s  {name}")
    return exit_code(GOALS, {"second run": second.whole}, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())
