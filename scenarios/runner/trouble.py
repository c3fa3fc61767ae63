"""The lab came upon a defect of its own: what is told of it, and of the story as far as it was played."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

from scenarios.runner.invariants import INVARIANTS
from scenarios.runner.stage import LabTrouble
from scenarios.runner.verdict import Breach


def lab_broke(error: BaseException, breaches: Iterable[Breach], at_s: float) -> LabTrouble:
    """With what devices had shown before `at_s`: the defect explains none of it. What ended late or
    unexpectedly, it may."""
    trouble = LabTrouble("".join(traceback.format_exception(error)))
    trouble.at_s = at_s
    names = {make().name for make in INVARIANTS}
    trouble.breaches = tuple(one for one in breaches if one.promise in names and one.at_s < at_s)
    return trouble
