"""Checking a newly enrolled node."""

from __future__ import annotations

from provisioner.compute.context import StepContext
from provisioner.core.outcome import Next, Outcome

ENROL_PATIENCE_S = 5.0
"""The operator is waiting for the answer; a BMC that is busy right now can be verified again."""


async def verify_power(ctx: StepContext) -> Outcome:
    """The power device accepts our credentials and tells the power state."""
    state = await ctx.edges.power.state(ctx.device, patience_s=ENROL_PATIENCE_S)
    ctx.ledger.note({"power_state": state})
    return Next(f"{ctx.device.name} accepted the credentials; power is {state}")
