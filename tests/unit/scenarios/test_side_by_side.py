"""A story as it is shown while it goes on: a column for each compute host, and one for the rack."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from scenarios.runner.trace import Event, Origin
from scenarios.runner.watch import RACK, TIME_WIDTH, SideBySide

BAR = "│"
HOSTS = ("ch1", "ch2")


class Shown:
    """What was written of some events, on a terminal as wide as COLUMNS says."""

    def __init__(self, *events: Event, hosts: tuple[str, ...] = HOSTS) -> None:
        self._columns = (*hosts, RACK)
        out = StringIO()
        shown = SideBySide(Console(file=out, highlight=False), hosts)
        self._begun = len(out.getvalue().splitlines())
        for event in events:
            shown(event)
        self.lines = out.getvalue().splitlines()
        shown.end()
        self.ending = out.getvalue().splitlines()[len(self.lines) :]

    def rows(self) -> list[tuple[str, dict[str, str]]]:
        """(time, what stands in which column) of each line below the heading."""
        return [self._row(line) for line in self.lines[self._begun :]]

    def _row(self, line: str) -> tuple[str, dict[str, str]]:
        time, *cells = (cell.strip() for cell in line.split(BAR))
        found = dict(zip(self._columns, cells, strict=True))
        return time, {column: text for column, text in found.items() if text}

    def heading(self) -> dict[str, str]:
        return self._row(self.lines[0])[1]

    def told(self) -> list[tuple[str, str]]:
        """(column, text) of each event that was shown, however many lines it took."""
        found: list[tuple[str, str]] = []
        for time, cells in self.rows():
            ((column, text),) = cells.items()
            if time:
                found.append((column, text))
            else:
                assert found[-1][0] == column
                found[-1] = (column, f"{found[-1][1]} {text}")
        return found


def event(source: str, name: str, node: str = "n1", *, sender: str = "", **detail: Any) -> Event:
    origin = {"step": Origin.PROVISIONER, "agent": Origin.PROVISIONER, "lease": Origin.PROVISIONER}
    origin |= dict.fromkeys(("request", "fault", "host", "client"), Origin.STAGE)
    of = origin.get(source, Origin.DEVICE)
    return Event(t_s=1.5, origin=of, source=source, name=name, node=node, sender=sender, detail=detail)


def owned(owner: str, fence: int = 1, node: str = "n1") -> Event:
    return event("lease", "owner", node, owner=owner, fence=fence)


def step(verb: str, name: str = "boot", node: str = "n1", **detail: Any) -> Event:
    return event("step", f"step.{verb}", node, step=name, **detail)


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def test_each_compute_host_has_a_column_and_the_rack_has_one() -> None:
    assert Shown().heading() == {"ch1": "ch1", "ch2": "ch2", RACK: RACK}
    assert Shown(step("done")).rows()[0][0] == "1.5 s"


def test_a_step_stands_with_the_host_that_owns_its_node() -> None:
    shown = Shown(owned("ch1"), owned("ch2", 1, "n2"), step("started"), step("started", node="n2"))
    assert shown.told() == [
        ("ch1", "n1 is owned, fence 1"),
        ("ch2", "n2 is owned, fence 1"),
        ("ch1", "n1 boot started"),
        ("ch2", "n2 boot started"),
    ]


def test_what_is_done_after_a_takeover_stands_with_the_new_owner() -> None:
    shown = Shown(
        owned("ch1"), step("done", "export_disk"), owned("ch2", 2), step("done", "boot"), owned(""), owned("")
    )
    assert shown.told() == [
        ("ch1", "n1 is owned, fence 1"),
        ("ch1", "n1 export_disk done"),
        ("ch2", "n1 is owned, fence 2, taken over from ch1"),
        ("ch2", "n1 boot done"),
        ("ch2", "n1 is given up"),
        ("ch2", "n1 is given up"),
    ]


def test_a_lease_that_is_renewed_is_not_told_again() -> None:
    assert Shown(owned("ch1"), owned("ch1"), owned("", node="n2")).told() == [("ch1", "n1 is owned, fence 1")]


def test_a_command_to_a_device_stands_with_who_sent_it_and_a_process_that_was_started_again_is_its_host() -> (
    None
):
    shown = Shown(
        owned("ch2"),
        event("bmc", "chassis.power.on", sender="ch1", result="ok"),
        event("pdu", "outlet.off", sender="ch1#2", result="ok"),
        event("host", "killed", "", host="ch2"),
        event("host", "started", "", host="ch2#2"),
    )
    assert shown.told()[1:] == [
        ("ch1", "n1 bmc chassis.power.on"),
        ("ch1", "n1 pdu outlet.off"),
        ("ch2", "process killed"),
        ("ch2", "process started"),
    ]


def test_what_no_host_does_stands_with_the_rack() -> None:
    shown = Shown(
        event("machine", "power_on"),
        event("fault", "begun", fault="bmc.mute"),
        event("client", "state", "", instance="web", state="active"),
        event("request", "create", "", instance="web"),
        event("bmc", "chassis.power.on", sender="a stranger", result="ok"),
        step("started"),  # of a node whose owner nobody told of
    )
    assert shown.told() == [
        (RACK, "n1 machine power_on"),
        (RACK, "n1 fault bmc.mute begun"),
        (RACK, "client: web is active"),
        (RACK, "request: create web"),
        (RACK, "n1 bmc chassis.power.on"),
        (RACK, "n1 boot started"),
    ]


def test_what_happens_all_the_time_is_not_shown() -> None:
    shown = Shown(
        event("bmc", "chassis.status", sender="ch1", result="ok"),
        event("bmc", "chassis.power.on", sender="ch1", result="busy"),
        event("dhcp", "discover"),
        event("http", "get", file="kernel"),
        event("fault", "struck", fault="bmc.mute"),
        event("node", "state"),
        step("waiting"),
    )
    assert shown.rows() == []


def test_at_the_end_it_is_told_which_steps_each_host_did() -> None:
    done = (step("done", "export_disk"), step("done", "boot"))
    shown = Shown(owned("ch1"), *done, step("failed", "verify"), hosts=HOSTS)
    assert [line for line in shown.ending if line] == ["ch1: export_disk, boot", "ch2: no step"]


@pytest.mark.parametrize("columns", [300, 120, 100, 80, 66])
def test_a_long_text_is_wrapped_within_its_column_and_no_line_is_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    words = "the disk has no room for the image, [bold]which[/] needs more than " + "x" * 40
    for owner in HOSTS:
        shown = Shown(owned(owner), step("failed", text=words), event("machine", "power_on"))
        assert max(map(len, shown.lines)) <= columns
        # Bars stand below each other: nothing pushes the others aside.
        assert len({tuple(at for at, char in enumerate(line) if char == BAR) for line in shown.lines}) == 1
        (_, (column, told), last) = shown.told()
        assert column == owner
        assert told.replace(" ", "") == f"n1bootfailed:{words}".replace(" ", "")
        assert last == (RACK, "n1 machine power_on")


def test_a_terminal_that_is_too_narrow_for_all_columns_keeps_them_legible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    shown = Shown(owned("ch2"), step("done", "export_disk"))
    assert shown.told()[1] == ("ch2", "n1 export_disk done")
    assert shown.rows()[-1][1]["ch2"] in ("done", "n1 export_disk done", "export_disk done")
    assert shown.lines[0].index(BAR) == TIME_WIDTH + 1
