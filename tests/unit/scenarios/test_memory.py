"""Racks that the memory can't hold are refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.runner.load import BadScenario, available_memory_mib, check_fit_together, check_fits, read
from scenarios.runner.stage import Fidelity
from tests.unit.scenarios.files import SOUND, scenario, written


def test_a_rack_that_the_memory_cannot_hold_is_refused_for_machines_alone(tmp_path: Path) -> None:
    text = SOUND.replace("rack:", "fidelities: [model, machine]\nrack:").replace(
        "{name: n2}", "{name: n2, memory_mib: 900000}"
    )
    one = read(written(tmp_path, text))
    check_fits(one, Fidelity.MODEL, 1000)
    with pytest.raises(BadScenario, match=r"story.yaml:5: rack.nodes: .* 901924 MiB .* 20000 MiB are free"):
        check_fits(one, Fidelity.MACHINE, 20_000)
    check_fits(one, Fidelity.MACHINE, 901_924)


def test_a_board_that_is_a_process_takes_no_more_memory_for_more_of_its_own(tmp_path: Path) -> None:
    board = "{name: n1, arch: tilepro64, firmware: tilera, boot: tilera, power: pdu, memory_mib: 900000}"
    text = SOUND.replace("rack:", "fidelities: [machine]\nrack:").replace("{name: n1}, {name: n2}", board)
    text = text.replace("image: tiny", "image: tiny-tilepro64").replace("do: bmc.busy", "do: pdu.pending")
    text = text.replace("with: {count: 2}, when: {node: n1, step: power_on}", "target: n1, with: {for_s: 2}")
    one = read(written(tmp_path, text))
    check_fits(one, Fidelity.MACHINE, 660)
    with pytest.raises(BadScenario, match=r"1 nodes need 660 MiB of memory and 659 MiB are free"):
        check_fits(one, Fidelity.MACHINE, 659)


def test_stories_of_machines_that_fit_one_by_one_are_refused_where_so_many_at_a_time_do_not(
    tmp_path: Path,
) -> None:
    large, small = (
        scenario(tmp_path, SOUND.replace("{name: n1}, {name: n2}", f"{{name: n1, memory_mib: {memory_mib}}}"))
        for memory_mib in (3250, 1250)
    )
    stories = [small, large, small, large, small]  # 4000 MiB the large ones, the others 2000
    check_fit_together(stories, 1, 4000)
    check_fit_together(stories, 3, 10_000)
    check_fit_together(stories, 9, 14_000)
    for jobs, available_mib, needed_mib, fit in (
        (2, 7999, 8000, 1),
        (3, 9999, 10_000, 2),
        (9, 13_999, 14_000, 4),
    ):
        told = f"--jobs {jobs}: .* need {needed_mib} MiB of memory together and {available_mib} MiB are free"
        with pytest.raises(BadScenario, match=f"{told}: write --jobs {fit}"):
            check_fit_together(stories, jobs, available_mib)


def test_free_memory_is_read_as_the_kernel_tells_it(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 24000000 kB\nMemAvailable:   20480000 kB\n")
    assert available_memory_mib(meminfo) == 20_000
