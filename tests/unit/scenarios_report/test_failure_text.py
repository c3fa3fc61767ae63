from scenarios.runner.report import failure_text
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach
from tests.unit.scenarios_report.samples import REPLAY, deployed, played


def happened(count: int, *nodes: str) -> list[Event]:
    return [
        Event(t_s=float(number), origin=Origin.DEVICE, source="bmc", name=f"command-{number}", node=node)
        for number, node in zip(range(count), nodes * count, strict=False)
    ]


def breach(event: int | None, at_s: float) -> Breach:
    return Breach(promise="one_owner", what="two hosts acted", at_s=at_s, event=event)


def told(text: str) -> list[str]:
    return [line for line in text.splitlines() if "command-" in line]


def test_a_story_that_passed_has_no_failure_text() -> None:
    assert failure_text(deployed(2, 8, "")) == ""


def test_it_says_what_broke_and_how_to_play_it_again() -> None:
    lines = failure_text(deployed()).splitlines()
    assert lines[0] == "FAIL one-silent-bmc at model, seed 7 (scenarios/power/one-silent-bmc.yaml)"
    assert any(line.startswith("bytes_equal_image, at ") for line in lines)
    assert lines[-1] == f"replay: {REPLAY}"


def test_twenty_events_lead_to_a_breach_and_the_one_that_shows_it_is_marked() -> None:
    lines = told(failure_text(played(happened(100, "n1"), [breach(50, 50.0)])))
    assert len(lines) == 20
    (marked,) = (line for line in lines if line.startswith("  > "))
    assert "command-50" in marked
    assert "command-54" in lines[-1]


def test_events_of_other_nodes_are_left_out_and_those_of_the_rack_are_kept() -> None:
    lines = told(failure_text(played(happened(300, "n1", "n2", ""), [breach(150, 150.0)])))
    assert len(lines) == 20
    assert not any(" n2 " in line for line in lines)
    assert any("command-149" in line for line in lines)


def test_a_breach_near_either_end_still_has_its_twenty_events() -> None:
    for place in (0, 2, 28, 29):
        lines = told(failure_text(played(happened(30, "n1"), [breach(place, float(place))])))
        assert len(lines) <= 20
        assert any(line.startswith("  > ") and line.rstrip().endswith(f"command-{place}") for line in lines)


def test_a_breach_that_the_end_shows_has_the_last_events_before_it() -> None:
    lines = told(failure_text(played(happened(100, "n1"), [breach(None, 60.0)])))
    assert len(lines) == 20
    assert "command-60" in lines[-1]


def test_breaches_beyond_the_fifth_are_told_without_events() -> None:
    text = failure_text(played(happened(50, "n1"), [breach(10, 10.0)] * 8))
    assert "3 more:" in text
    assert text.count("two hosts acted") == 8
    assert text.count("  > ") == 5


def test_a_broken_lab_is_told_apart() -> None:
    text = failure_text(played(happened(30, "n1"), trouble="libvirtd ended (1)"))
    assert text.startswith("INFRA ")
    assert "nothing is said about the provisioner: libvirtd ended (1)" in text
    assert len(told(text)) == 20


def test_of_a_broken_promise_the_lab_is_told_besides() -> None:
    text = failure_text(played(happened(30, "n1"), [breach(10, 10.0)], trouble="libvirtd ended (1)"))
    assert text.startswith("FAIL ")
    assert "The lab broke too, which doesn't explain it: libvirtd ended (1)" in text
    assert "nothing is said" not in text
    assert "two hosts acted" in text


def test_without_any_event_it_says_so() -> None:
    assert "No event was seen." in failure_text(played([], [breach(None, 1.0)]))
