from typing import Any

from scenarios.runner.report.lanes import Lane, Span, Tone, marks, spans
from scenarios.runner.trace import Event, Origin


def event(t_s: float, source: str, name: str, node: str = "n1", **detail: Any) -> Event:
    return Event(t_s=t_s, origin=Origin.DEVICE, source=source, name=name, node=node, detail=detail)


def drawn(*events: Event) -> list[tuple[Lane, str, float, float, Tone]]:
    def flat(span: Span) -> tuple[Lane, str, float, float, Tone]:
        return span.lane, span.label, span.from_s, span.to_s, span.tone

    return [flat(span) for span in spans(events)]


def test_a_step_lasts_from_its_start_to_its_end_in_the_tone_of_its_end() -> None:
    assert drawn(
        event(1, "step", "step.started", step="power_on"),
        event(2, "step", "step.retry", step="power_on"),
        event(3, "step", "step.done", step="power_on"),
        event(3, "step", "step.started", step="write_image"),
        event(9, "step", "step.failed", step="write_image"),
    ) == [
        (Lane.STEPS, "power_on", 1, 3, Tone.GOOD),
        (Lane.STEPS, "write_image", 3, 9, Tone.BAD),
    ]


def test_a_step_that_is_resumed_ends_and_begins_again() -> None:
    assert drawn(
        event(1, "step", "step.started", step="power_on"),
        event(5, "step", "step.resumed", step="power_on"),
        event(7, "step", "step.done", step="power_on"),
    ) == [(Lane.STEPS, "power_on", 1, 5, Tone.PLAIN), (Lane.STEPS, "power_on", 5, 7, Tone.GOOD)]


def test_what_nothing_ends_lasts_as_long_as_the_story() -> None:
    assert drawn(event(1, "lease", "owner", owner="host-1"), event(8, "dhcp", "ack")) == [
        (Lane.OWNER, "host-1", 1, 8, Tone.PLAIN)
    ]


def test_an_owner_lasts_until_the_next_and_none_leaves_a_gap() -> None:
    assert drawn(
        event(1, "lease", "owner", owner="host-1"),
        event(2, "lease", "owner", owner=""),
        event(4, "lease", "owner", owner="host-2"),
        event(5, "lease", "owner", owner=""),
    ) == [(Lane.OWNER, "host-1", 1, 2, Tone.PLAIN), (Lane.OWNER, "host-2", 4, 5, Tone.PLAIN)]


def test_equal_faults_of_other_parameters_heal_each_for_itself() -> None:
    assert drawn(
        event(1, "fault", "injected", fault="net.drop", parameters={"share": 0.1}),
        event(2, "fault", "injected", fault="net.drop", parameters={"share": 0.5}),
        event(3, "fault", "healed", fault="net.drop", parameters={"share": 0.1}),
        event(6, "fault", "healed", fault="net.drop", parameters={"share": 0.5}),
    ) == [(Lane.FAULTS, "net.drop", 1, 3, Tone.BAD), (Lane.FAULTS, "net.drop", 2, 6, Tone.BAD)]


def test_a_machine_that_tells_its_phases_is_believed_over_its_bmc() -> None:
    assert drawn(
        event(1, "bmc", "chassis.power.on", result="ok"),
        event(2, "machine", "on"),
        event(4, "machine", "hung"),
        event(6, "machine", "off"),
    ) == [(Lane.POWER, "on", 2, 4, Tone.PLAIN), (Lane.POWER, "hung", 4, 6, Tone.BAD)]


def test_of_a_machine_that_tells_nothing_what_its_bmc_acknowledged_is_drawn() -> None:
    assert drawn(
        event(1, "bmc", "chassis.power.on", result="busy"),
        event(2, "bmc", "chassis.power.on", result="ok"),
        event(9, "bmc", "chassis.power.off", result="ok"),
    ) == [(Lane.POWER, "on", 2, 9, Tone.PLAIN)]


def test_a_compute_host_has_a_row_of_its_own_that_shows_when_it_was_down() -> None:
    (span,) = spans(
        [
            event(1, "host", "killed", node="", host="host-1"),
            event(4, "host", "started", node="", host="host-1"),
        ]
    )
    assert (span.group, span.label, span.from_s, span.to_s) == ("host-1", "killed", 1, 4)


def test_every_event_is_a_mark_and_what_went_wrong_stands_out() -> None:
    found = marks(
        [
            event(1, "bmc", "chassis.power.on", result="busy"),
            event(2, "tftp", "refused"),
            event(3, "ssh", "login"),
            event(4, "step", "step.retry"),
        ]
    )
    assert [(mark.lane, mark.tone) for mark in found] == [
        (Lane.POWER, Tone.BAD),
        (Lane.WIRE, Tone.BAD),
        (Lane.WIRE, Tone.PLAIN),
        (Lane.STEPS, Tone.WARN),
    ]
