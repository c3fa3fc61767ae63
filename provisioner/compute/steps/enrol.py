"""Checking a newly enrolled node."""

from __future__ import annotations

from provisioner.compute.context import StepContext
from provisioner.compute.devices import unclear
from provisioner.core.errors import DeviceRefused
from provisioner.core.outcome import Next, Outcome

MORE_LOOKS, LOOK_AGAIN_S = 2, 1.0

ENROL_PATIENCE_S = 5.0
"""The operator is waiting for the answer; a BMC that is busy right now can be verified again."""


async def verify_power(ctx: StepContext) -> Outcome:
    """The power device accepts our credentials and tells the power state, or that outlets are half off or on
    their way: a deploy switches those, and would fail by one whose state nobody understands."""
    state = await ctx.edges.power.state(ctx.device, patience_s=ENROL_PATIENCE_S)
    for _ in range(MORE_LOOKS):
        if not unclear(ctx.device.control):
            break
        await ctx.edges.clock.sleep(LOOK_AGAIN_S)  # some have words for a moment, such as "no communication"
        state = await ctx.edges.power.state(ctx.device, patience_s=ENROL_PATIENCE_S)
    if outlets := unclear(ctx.device.control):
        raise DeviceRefused(
            "read the power state",
            device=ctx.device.name,
            answer=outlets,
            advice="Is it the right outlet? What its device says is neither on nor off, nor on its way "
            "there; by http, when_on and when_off say what is meant so",
        )
    ctx.ledger.note({"power_state": state})
    return Next(f"{ctx.device.name} accepted the credentials; power is {state}")
