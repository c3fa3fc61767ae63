"""A PDU as its faces see it: how long its answers take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bmsim.audit import AuditLog
from bmsim.faces.pdu_device import Cable, PduConfig, PduDevice
from bmsim.faults.catalogue import completed
from scenarios.runner.virtual_time import run


@pytest.mark.parametrize(
    ("each_s", "answer_s", "taken_s"),
    [(None, 0.2, [0.2, 0.2, 0.2]), (2, 0.2, [2, 4, 6]), (2, 5.0, [5, 10, 15]), (2, 0.0, [2, 4, 6])],
    ids=["without the fault", "slower by it", "slow before", "of one that takes no time"],
)
def test_a_slow_queue_serves_one_message_after_the_other_and_none_sooner_than_without_it(
    tmp_path: Path, each_s: float | None, answer_s: float, taken_s: list[float]
) -> None:
    """taken_s: by messages that come at once."""
    faults = tmp_path / "n1.json"
    if each_s is not None:
        faults.write_text(json.dumps({"pdu.slow_queue": completed("pdu.slow_queue", {"each_s": each_s})}))
    config = PduConfig(
        name="a",
        outlets={1: True},
        cables={1: Cable(node="n1", feed=0, faults=faults)},
        answer_s=answer_s,
        memory=tmp_path / "relays.json",
    )

    async def story() -> list[float | None]:
        device = PduDevice(config, AuditLog(tmp_path / "audit.jsonl"), lambda _: None)
        return [device.answer_delay_s() for _ in taken_s]

    assert run(story(), 0) == pytest.approx(taken_s)
