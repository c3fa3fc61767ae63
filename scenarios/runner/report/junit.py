"""Verdicts as JUnit XML, the form that Jenkins, GitLab and GitHub's actions read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from xml.etree import ElementTree

from scenarios.runner.report.failure_text import failure_text
from scenarios.runner.verdict import Played, Verdict

# What XML 1.0 can't carry even escaped (section 2.2, Char); consoles and hostile packets bring it.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(played: Iterable[Played]) -> str:
    """A broken promise is a failure, a broken lab an error."""
    every = list(played)
    verdicts = [one.result.verdict for one in every]
    suite = ElementTree.Element(
        "testsuite",
        name="scenarios",
        tests=str(len(every)),
        failures=str(verdicts.count(Verdict.FAIL)),
        errors=str(verdicts.count(Verdict.INFRA)),
        skipped="0",
        time=f"{sum(one.result.took_s for one in every):.3f}",
    )
    suite.extend([_case(one) for one in every])
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    ElementTree.indent(suites)
    text = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _case(played: Played) -> ElementTree.Element:
    result = played.result
    case = ElementTree.Element(
        "testcase",
        classname=_clean(_class_name(result.file)),
        name=_clean(f"{result.scenario}[{result.fidelity}-{result.seed}]"),
        time=f"{result.took_s:.3f}",
    )
    told = {"seed": str(result.seed), "trace_sha256": result.trace_sha256, "replay": result.replay}
    properties = ElementTree.SubElement(case, "properties")
    for name, value in told.items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    match result.verdict:
        case Verdict.FAIL:
            what = "; ".join(f"{breach.promise}: {breach.what}" for breach in result.breaches)
            _add_outcome(case, "failure", what, result.breaches[0].promise if result.breaches else "", played)
        case Verdict.INFRA:
            _add_outcome(case, "error", result.trouble, "lab", played)
        case Verdict.PASS:
            pass
    return case


def _class_name(file: str) -> str:
    """Of a story that was made up there is no file."""
    return ".".join(PurePath(file).with_suffix("").parts) if file else "scenarios"


def _add_outcome(case: ElementTree.Element, tag: str, message: str, kind: str, played: Played) -> None:
    outcome = ElementTree.SubElement(case, tag, message=_clean(message), type=_clean(kind))
    outcome.text = _clean(failure_text(played))


def _clean(text: str) -> str:
    return _NOT_XML.sub(lambda found: f"\\x{ord(found.group()):02x}", text)
