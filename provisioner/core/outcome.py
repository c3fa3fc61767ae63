"""What a step hands back: one of a closed set. One loop persists it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.core.errors import ProvisionerError


@dataclass(frozen=True, slots=True)
class Next:
    """Done. `facts` are merged into the work's facts; `proof` is what was seen, for the timeline."""

    proof: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wait:
    """The next move is the node's. The step is entered again when something about the node is
    heard, or after `poll_s`; when `deadline_s` have passed since the step was first entered,
    `otherwise` is asked what happens.

    begins_at: where another host begins if this one never heard of the node; None: here. A boot that was
               served by nobody is begun again, and one that needs nobody is looked at first.
    """

    for_what: str
    deadline_s: float
    otherwise: Callable[[], Retry | Fail]
    poll_s: float = 1.0
    begins_at: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay_s`, from this step or from an earlier one (`from_step`).

    Bounded by the plan's budget of retries; when that is used up the work fails with `cause`.

    counts: off when the node's change of owner is the reason: it says nothing of the node. At most one of
            them follows each change.
    """

    cause: ProvisionerError
    from_step: str | None = None
    delay_s: float = 1.0
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing more to try."""

    cause: ProvisionerError


Outcome = Next | Wait | Retry | Fail
