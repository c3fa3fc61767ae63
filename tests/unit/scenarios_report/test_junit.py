from dataclasses import replace
from xml.etree import ElementTree

from scenarios.runner.report import junit
from tests.unit.scenarios_report.samples import REPLAY, deployed, played


def parsed(text: str) -> ElementTree.Element:
    suites = ElementTree.fromstring(text)
    assert suites.tag == "testsuites"
    (suite,) = suites
    return suite


def test_a_broken_promise_is_a_failure_and_a_broken_lab_an_error() -> None:
    suite = parsed(junit([deployed(), deployed(2, 8, ""), played([], trouble="libvirtd ended (1)")]))
    assert {key: suite.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
    }
    failed, passed, broke = suite.findall("testcase")
    failure = failed.find("failure")
    assert failure is not None
    assert failure.get("type") == "bytes_equal_image"
    assert failure.text is not None
    assert REPLAY in failure.text
    assert [child.tag for child in passed] == ["properties"]
    error = broke.find("error")
    assert error is not None
    assert error.get("message") == "libvirtd ended (1)"


def test_each_case_names_what_plays_it_again() -> None:
    (case,) = parsed(junit([deployed(2, 8, "")])).findall("testcase")
    assert case.get("name") == "one-silent-bmc[model-8]"
    assert case.get("classname") == "scenarios.power.one-silent-bmc"
    told = {one.get("name"): one.get("value") for one in case.iter("property")}
    assert told == {"seed": "8", "trace_sha256": "5f" * 32, "replay": REPLAY}


def test_a_story_that_was_made_up_is_of_no_file() -> None:
    one = deployed(2, 8, "")
    made_up = replace(one, result=replace(one.result, scenario="random-8", file=""))
    (case,) = parsed(junit([made_up])).findall("testcase")
    assert (case.get("classname"), case.get("name")) == ("scenarios", "random-8[model-8]")


def test_what_xml_cannot_carry_is_told_in_hexadecimal() -> None:
    suite = parsed(junit([played([], trouble="console said \x1b[31m\x00<oops>\ud800\uffff & ended")]))
    error = suite.find("testcase/error")
    assert error is not None
    assert error.get("message") == "console said \\x1b[31m\\x00<oops>\\xd800\\xffff & ended"


def test_no_stories_are_a_suite_without_cases() -> None:
    assert parsed(junit([])).get("tests") == "0"
