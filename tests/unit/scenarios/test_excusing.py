"""What explains a failed deploy: of which attempt, by which fault, and how often it was tried."""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.runner.excusing import is_excused
from scenarios.runner.random_story import rack
from scenarios.runner.story import Deploy, Story
from scenarios.runner.trace import Event, Origin, Trace

HOSTS, NODES = rack(2)
STORY = Story(
    name="told-by-hand",
    hosts=HOSTS,
    nodes=NODES,
    requests=(Deploy(instance="web", image="tiny", node="n1"),),
    struck_may_fail=True,
)


class Told:
    """A trace by hand, each event a second after the one before. Of a deploy to n1 that has begun."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.said("lease", "owner", owner="ch1", fence=1)
        self.said("node", "state", state="deploying")

    def said(self, source: str, name: str, **detail: Any) -> None:
        self._add(Origin.PROVISIONER, source, name, "n1", "", detail)

    def retried(self, times: int) -> None:
        for _ in range(times):
            self.said("step", "step.retry", step="write_image")

    def fault(self, name: str, fault: str, node: str = "n1", sender: str = "") -> None:
        self._add(Origin.STAGE, "fault", name, node, sender, {"fault": fault})

    def failed(self, code: str) -> float:
        """When the client was told so."""
        self.said("step", "step.failed", step="write_image")
        self.client("error", code)
        return len(self.trace) - 1.0

    def client(self, state: str, code: str) -> None:
        detail = {"instance": "web", "state": state, "failure": code}
        self._add(Origin.STAGE, "client", "instance", "n1", "", detail)

    def excused(self, told_s: float) -> bool:
        return is_excused(STORY, self.trace, "web", told_s)

    def _add(
        self, origin: Origin, source: str, name: str, node: str, sender: str, detail: dict[str, Any]
    ) -> None:
        at_s = float(len(self.trace))
        event = Event(
            t_s=at_s, origin=origin, source=source, name=name, node=node, sender=sender, detail=detail
        )
        self.trace.add(event)


@pytest.mark.parametrize(("retries", "excused"), [(7, False), (8, True)])
def test_what_may_pass_is_tried_until_no_retry_is_left(retries: int, excused: bool) -> None:
    told = Told()
    told.retried(retries)
    told.fault("struck", "disk.write_error")
    assert told.excused(told.failed("write-failed")) is excused


def test_retries_of_the_deploy_before_dont_count() -> None:
    told = Told()
    told.retried(8)
    for state in ("cleaning", "available", "deploying"):
        told.said("node", "state", state=state)
    told.fault("struck", "disk.write_error")
    assert not told.excused(told.failed("write-failed"))


def test_waiting_for_a_node_begins_no_other_deploy() -> None:
    told = Told()
    told.retried(8)
    for state in ("deploy_wait", "deploying"):
        told.said("node", "state", state=state)
    told.fault("struck", "disk.write_error")
    assert told.excused(told.failed("write-failed"))


def test_a_fault_that_struck_an_attempt_before_explains_nothing_of_the_last() -> None:
    told = Told()
    told.fault("injected", "disk.write_error")
    told.fault("struck", "disk.write_error")
    told.retried(8)
    assert not told.excused(told.failed("write-failed"))


@pytest.mark.parametrize(("healed", "excused"), [(False, True), (True, False)])
def test_one_that_struck_a_shared_device_is_told_once_and_goes_on(healed: bool, excused: bool) -> None:
    told = Told()
    told.fault("injected", "pdu.unreachable", "n2")
    told.fault("struck", "pdu.unreachable", "n1")
    if healed:
        told.fault("healed", "pdu.unreachable", "n2")
    told.retried(8)
    assert told.excused(told.failed("device-unreachable")) is excused


@pytest.mark.parametrize(("host", "excused"), [("ch1", True), ("ch2", False)])
def test_a_full_disk_is_its_owners(host: str, excused: bool) -> None:
    told = Told()
    told.retried(8)
    told.fault("struck", "host.disk_full", "", host)
    assert told.excused(told.failed("storage-full")) is excused


@pytest.mark.parametrize("fault", ["host.partition", "db.slow", "image.corrupt"])
def test_what_befalls_others_explains_nothing(fault: str) -> None:
    told = Told()
    told.retried(8)
    told.fault("struck", fault)
    assert not told.excused(told.failed("transient"))


def test_what_the_cleaning_failed_by_later_is_not_what_the_deploy_failed_by() -> None:
    told = Told()
    told.fault("struck", "disk.read_error")
    told_s = told.failed("disk-error")
    told.client("deleted", "wipe-failed")
    assert told.excused(told_s)
