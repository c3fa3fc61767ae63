"""Scenario files: found, read, and held against the machine that is to play them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from bmsim.rack.errors import RackError
from bmsim.rack.yaml_source import load, located, parse
from scenarios.runner.schema import Scenario
from scenarios.runner.stage import Fidelity

GUEST_OVERHEAD_MIB = 150
"""What QEMU takes besides a machine's own memory, measured with TCG."""
BOARD_MIB = 60
"""A board of tilepro64, which is a process (27 MiB, measured) and its SSH server, whatever its own memory."""
PROVISIONER_MIB = 600
"""The provisioner, libvirt and the lab itself, while an image is written."""


class BadScenario(Exception):
    """A file that can't be played; the message names file, line and field and says what to change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioFile:
    """file: as it was given on the command line."""

    file: str
    scenario: Scenario


def find(places: Iterable[Path]) -> Iterator[Path]:
    """The scenario files among files and folders, each once, in the order of their names below a folder."""
    seen: set[Path] = set()
    for place in places:
        if not place.exists():
            raise BadScenario(f"{place}: there is no such file or folder")
        found = sorted(place.rglob("*.yaml")) if place.is_dir() else [place]
        if not found:
            raise BadScenario(f"{place}: no scenario is in this folder: it has no *.yaml")
        for path in found:
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def read(path: Path) -> ScenarioFile:
    """Raises BadScenario."""
    try:
        return ScenarioFile(file=str(path), scenario=load(path, Scenario))
    except RackError as error:
        raise BadScenario(str(error)) from error


def read_text(text: str, file: str) -> Scenario:
    """As `read`, before there is a file."""
    try:
        return parse(text, Scenario, file)
    except RackError as error:
        raise BadScenario(str(error)) from error


def read_all(places: Iterable[Path]) -> list[ScenarioFile]:
    """Raises BadScenario telling what is wrong with any of the files, or that two have one name."""
    files: list[ScenarioFile] = []
    wrong: list[str] = []
    owners: dict[str, str] = {}
    for path in find(places):
        try:
            one = read(path)
        except BadScenario as error:
            wrong.append(str(error))
            continue
        name = one.scenario.name
        if (other := owners.setdefault(name, one.file)) != one.file:
            wrong.append(located(path, ("name",), f"{other} is called {name} too: take another name"))
        files.append(one)
    if wrong:
        raise BadScenario("\n".join(wrong))
    return files


def check_fits(one: ScenarioFile, fidelity: Fidelity, available_mib: int) -> None:
    """Raises BadScenario when the rack asks for more memory than there is."""
    needed_mib = _needed_mib(one.scenario) if fidelity is Fidelity.MACHINE else 0
    if needed_mib > available_mib:
        told = (
            f"at fidelity machine {len(one.scenario.node_names)} nodes need {needed_mib} MiB of memory and "
            f"{available_mib} MiB are free: write fewer nodes or a smaller memory_mib, or play it at model"
        )
        raise BadScenario(located(Path(one.file), ("rack", "nodes"), told))


def check_fit_together(scenarios: Iterable[Scenario], jobs: int, available_mib: int) -> None:
    """Of those that are played by machines, so many at a time, each of which fits alone. Raises BadScenario
    when they may ask for more memory than there is."""
    needed_mib = sorted(map(_needed_mib, scenarios), reverse=True)[:jobs]
    fit = sum(together_mib <= available_mib for together_mib in accumulate(needed_mib))
    if fit < len(needed_mib):
        raise BadScenario(
            f"--jobs {jobs}: at fidelity machine the {len(needed_mib)} largest of these stories need "
            f"{sum(needed_mib)} MiB of memory together and {available_mib} MiB are free: write --jobs {fit}"
        )


def _needed_mib(scenario: Scenario) -> int:
    """To be played with machines."""
    return PROVISIONER_MIB + sum(
        BOARD_MIB if node.firmware == "tilera" else node.memory_mib + GUEST_OVERHEAD_MIB
        for node in scenario.rack.node_list
    )


def available_memory_mib(meminfo: Path = Path("/proc/meminfo")) -> int:
    """proc(5): MemAvailable, in KiB."""
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    raise BadScenario(f"{meminfo} doesn't tell MemAvailable: a Linux older than 3.14 can't play machines")
