import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from scenarios.runner.report import page
from scenarios.runner.trace import Event, Origin, Trace
from tests.unit.scenarios_report.samples import deployed, played


class Reader(HTMLParser):
    """Links and the text of scripts, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.scripts: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag == "script":
            self._inside = True
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data


def embedded(text: str) -> Any:
    return json.loads(Reader(text).scripts[0])


def test_the_page_names_nothing_outside_itself() -> None:
    text = page([deployed()])
    assert Reader(text).links == ["data:,"]
    assert not re.search(r"https?://|@import|url\(", text)


def test_failed_stories_come_first() -> None:
    data = embedded(page([deployed(2, 8, ""), played([], trouble="no disk left"), deployed()]))
    assert [story["verdict"] for story in data["stories"]] == ["fail", "infra", "pass"]


def test_nodes_are_in_the_order_in_which_people_count() -> None:
    groups = embedded(page([deployed(11, 8, "")]))["stories"][0]["groups"]
    assert groups == ["host-2", *(f"n{number}" for number in range(1, 12))]


def test_what_a_node_says_cannot_end_the_data_nor_be_taken_for_a_part_of_the_page() -> None:
    said = "</script><script>alert(1)</script>/*program*/ /*style*/\u2028"
    event = Event(t_s=1, origin=Origin.DEVICE, source="agent", name="hello", node="n1", detail={"text": said})
    text = page([played([event])])
    assert len(Reader(text).scripts) == 2
    assert f"text={said}" in embedded(text)["words"]


def test_a_timeline_beyond_the_room_is_left_out_and_its_verdict_stays() -> None:
    first, second = embedded(page([deployed(), deployed(5, 8, "")], most_events=400))["stories"]
    assert len(first["events"][0]) == first["count"]
    assert second["events"] == []
    assert second["count"] > 300
    assert second["verdict"] == "pass"


def test_a_timeline_that_was_not_kept_is_said_to_be_left_out() -> None:
    (story,) = embedded(page([replace(deployed(), trace=Trace(), left_out=300)]))["stories"]
    assert (story["events"], story["count"]) == ([], 300)


@pytest.mark.exhaustive
def test_a_hundred_thousand_events_take_less_than_fifty_bytes_each() -> None:
    story = deployed(1400, 7, "n3")
    assert len(story.trace) > 90_000
    assert len(page([story])) < 50 * len(story.trace)
