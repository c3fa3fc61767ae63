"""The report's page as Chromium shows it, loaded from a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scenarios.runner.report import page
from scenarios.runner.trace import Event, Origin
from scenarios.runner.verdict import Breach, Played
from tests.unit.scenarios_report.samples import REPLAY, deployed, played
from tests.wire.scenarios_report.browser import Browser

pytestmark = pytest.mark.wire

Show = Callable[..., Browser]

DRAWN = "JSON.parse(document.getElementById('canvas').dataset.drawn)"
# Pixels of the canvas that have the colour of a name in page.css.
PIXELS_OF = """((name) => {
    const probe = document.createElement('i');
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const [r, g, b] = getComputedStyle(probe).color.match(/[0-9]+/g).map(Number);
    probe.remove();
    const canvas = document.getElementById('canvas');
    const offscreen = new OffscreenCanvas(canvas.width, canvas.height);
    const copy = offscreen.getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const seen = copy.getImageData(0, 0, canvas.width, canvas.height).data;
    let found = 0;
    for (let at = 0; at < seen.length; at += 4) {
        found += seen[at] === r && seen[at + 1] === g && seen[at + 2] === b;
    }
    return found;
})"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium"), width=1280, height=1000) as started:
        yield started


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Show]:
    """Whatever a test does: nothing leaves the page, and nothing goes wrong in it."""
    file = tmp_path / "report.html"
    browser.requests.clear()
    browser.complaints.clear()

    def opened(*stories: Played, width: int = 1280) -> Browser:
        file.write_text(page(stories))
        browser.resize(width, 1000)
        browser.open(file)
        return browser

    yield opened
    assert [url for url in browser.requests if not url.startswith("data:")] == [file.as_uri()]
    assert browser.complaints == []


def drawn(browser: Browser) -> Any:
    return browser.value(DRAWN)


def text_of(browser: Browser, name: str) -> str:
    return str(browser.value(f"document.getElementById('{name}').innerText"))


def test_every_node_has_its_lanes_with_spans_and_marks(show: Show) -> None:
    browser = show(deployed())
    seen = drawn(browser)
    assert seen["groups"] == ["host-2", "n1", "n2", "n3", "n4", "n5"]
    # Five of each node, and faults of a host and of two nodes.
    assert seen["lanes"] == 5 * 5 + 3
    assert seen["spans"] > 80
    assert seen["marks"] > 200
    for colour in ("good", "plain", "bad", "warn", "dhcp", "tftp", "http", "iscsi", "disk", "agent"):
        assert browser.value(f"{PIXELS_OF}('{colour}')") > 5, colour


def test_the_head_tells_the_verdict_and_how_to_play_it_again(show: Show) -> None:
    browser = show(deployed())
    assert text_of(browser, "counts") == "1 FAIL"
    assert text_of(browser, "replay") == REPLAY
    assert "seed 7" in text_of(browser, "story-facts")
    assert "bytes_equal_image" in text_of(browser, "breaches")


def test_filtering_by_node_hides_the_others(show: Show) -> None:
    browser = show(deployed(12))
    browser.type("node-filter", "n1")
    browser.until(f"{DRAWN}.groups.join() === 'n1'")
    browser.type("node-filter", "n1, n12 n3")
    browser.until(f"{DRAWN}.groups.join() === 'n1,n3,n12'")
    browser.type("node-filter", "no such node")
    browser.until(f"{DRAWN}.groups.length === 0")
    browser.type("node-filter", "")
    browser.until(f"{DRAWN}.groups.length > 3")


def test_filtering_by_text_leaves_what_has_all_its_words(show: Show) -> None:
    browser = show(deployed())
    browser.type("text-filter", "dhcp ACK")
    # n3 failed before its instance booted.
    browser.until(f"{DRAWN}.marks === 9 && {DRAWN}.spans === 0")
    assert "9 of " in text_of(browser, "shown")
    browser.type("text-filter", "disk.write_error")
    browser.until(f"{DRAWN}.groups.join() === 'n3'")


def test_a_breach_jumps_to_its_place(show: Show) -> None:
    browser = show(deployed(400, failing="n350"))
    assert "n350" not in drawn(browser)["groups"]
    browser.value("document.querySelector('#breaches button').click()")
    browser.until(f"{DRAWN}.groups.includes('n350')")
    seen = drawn(browser)
    at_s = float(text_of(browser, "around").removesuffix(" s"))
    assert seen["from"] < at_s < seen["to"]
    assert seen["to"] - seen["from"] < 60
    chosen = str(browser.value("document.querySelector('#events tr.chosen').innerText"))
    assert "step.failed" in chosen


def test_hovering_shows_the_event(show: Show) -> None:
    browser = show(deployed())
    place = browser.value(
        """(() => {
            const lane = rows.visible.find((row) => row.group.name === 'n1').lanes
                .find((one) => data.lanes[one.id] === 'wire');
            element('timeline').scrollIntoView();
            const box = element('canvas').getBoundingClientRect();
            return [box.left + timeline.x(rows.times[lane.events[4]]), box.top + lane.top + 7];
        })()"""
    )
    browser.point(*place)
    browser.until("!document.getElementById('tip').hidden")
    told = text_of(browser, "tip")
    assert "n1" in told
    assert "tftp sent by host-2" in told
    assert "file=ipxe.efi" in told
    browser.point(2, 2)
    browser.until("document.getElementById('tip').hidden")


def test_wheel_and_buttons_zoom_and_fit_shows_all_again(show: Show) -> None:
    browser = show(deployed())
    whole = drawn(browser)
    browser.value("element('timeline').scrollIntoView()")
    browser.wheel(700, 200, -100, control=True)
    browser.until(f"{DRAWN}.to - {DRAWN}.from < {0.7 * (whole['to'] - whole['from'])}")
    browser.value("element('zoom-in').click()")
    browser.until(f"{DRAWN}.to - {DRAWN}.from < {0.4 * (whole['to'] - whole['from'])}")
    browser.value("element('fit').click()")
    browser.until(f"{DRAWN}.to === {whole['to']} && {DRAWN}.from === {whole['from']}")


def test_dragging_moves_through_time(show: Show) -> None:
    browser = show(deployed())
    browser.value("element('timeline').scrollIntoView(); timeline.zoom(0.3)")
    browser.until(f"{DRAWN}.from > 20")
    before = drawn(browser)
    browser.drag(700, 600, 150)
    browser.until(f"{DRAWN}.from > {before['from'] + 2}")
    after = drawn(browser)
    assert after["to"] - after["from"] == pytest.approx(before["to"] - before["from"])


def test_keys_reach_everything_that_the_mouse_does(show: Show) -> None:
    browser = show(deployed())
    browser.value("document.getElementById('timeline').focus()")
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        browser.press(key)
    browser.until("element('said').textContent !== ''")
    first = browser.value("element('said').textContent")
    browser.press("ArrowLeft")
    browser.until(f"element('said').textContent !== {json.dumps(first)}")
    browser.press("b")
    browser.until("element('said').textContent.includes('step.failed')")
    whole = drawn(browser)
    browser.press("+")
    browser.until(f"{DRAWN}.to - {DRAWN}.from < {0.7 * (whole['to'] - whole['from'])}")
    browser.press("0")
    browser.until(f"{DRAWN}.to - {DRAWN}.from > {whole['to'] - whole['from']}")


def test_a_table_leads_from_story_to_story(show: Show) -> None:
    browser = show(deployed(2, 8, ""), deployed(), played([], trouble="libvirtd ended (1)", name="long-wire"))
    assert text_of(browser, "counts").split("\n") == ["1 PASS", "1 FAIL", "1 INFRA"]
    assert browser.value("document.querySelectorAll('#story-rows tr').length") == 3
    browser.type("story-filter", "infra")
    browser.until("document.querySelectorAll('#story-rows tr').length === 1")
    browser.value("document.querySelector('#story-rows button').click()")
    assert "libvirtd ended (1)" in text_of(browser, "story-trouble")
    assert text_of(browser, "story-name") == "long-wire"
    browser.type("story-filter", "8")
    browser.until("document.querySelectorAll('#story-rows tr').length === 1")
    browser.value("document.querySelector('#story-rows button').click()")
    browser.until(f"{DRAWN}.groups.includes('n2') && !{DRAWN}.groups.includes('n3')")


def test_it_fits_a_narrow_screen(show: Show) -> None:
    browser = show(deployed(), deployed(2, 8, ""), width=400)
    assert browser.value("document.documentElement.scrollWidth") <= 400
    browser.until(f"{DRAWN}.groups.length >= 5")


def test_it_is_dark_for_those_who_prefer_it(show: Show) -> None:
    browser = show(deployed())
    browser.prefer("dark")
    try:
        browser.until("getComputedStyle(document.body).backgroundColor === 'rgb(22, 24, 27)'")
        browser.until(f"{PIXELS_OF}('plain') > 1000")
    finally:
        browser.prefer("light")


def test_what_a_node_says_is_shown_and_not_obeyed(show: Show) -> None:
    said = "</script><img src=http://127.0.0.1:9/ onerror=console.log(1)>"
    event = Event(t_s=1, origin=Origin.DEVICE, source="agent", name=said, node=said, detail={"text": said})
    breach = Breach(promise="no_secret_told", what=said, at_s=1, event=0)
    browser = show(played([event], [breach], name=said))
    assert text_of(browser, "story-name") == said
    assert said in text_of(browser, "breaches")
    assert said in text_of(browser, "events")
    assert browser.value("document.querySelectorAll('img').length") == 0


def test_a_thousand_nodes_of_a_hundred_thousand_events_stay_fluent(show: Show) -> None:
    story = deployed(1400, failing="n1300")
    assert len(story.trace) > 100_000
    browser = show(story)
    assert len(drawn(browser)["groups"]) < 20  # those on the screen alone
    # The quickest of ten, which takes 1.3 ms: however often this machine pauses, one of them isn't hit.
    drawing_ms = browser.value(
        """(() => {
            const took = [];
            for (let round = 0; round < 10; round++) {
                element('timeline').scrollTop = round * 9000;
                const begun = performance.now();
                timeline.draw();
                took.push(performance.now() - begun);
            }
            return Math.min(...took);
        })()"""
    )
    assert drawing_ms < 100
    browser.type("node-filter", "n1300")
    browser.until(f"{DRAWN}.groups.join() === 'n1300'")
