"""Whether a node that is waited for can be reached from here at all."""

from __future__ import annotations

from provisioner.compute.context import StepContext
from provisioner.core.errors import DeviceUnreachable, ProvisionerError

QUIET_S = 30.0
"""Without a word of the node: then its power device is asked, and again whenever as long has passed. A node
in its firmware may well be quiet for minutes, and its power device answers all the while."""

SILENCES = 3
"""Of the power device in a row, and not a word of the node meanwhile: one lost answer is no proof."""

AGAIN_S = 5.0
"""Between two of them."""


class Reach:
    """Of one node, during one wait for it."""

    def __init__(self, ctx: StepContext) -> None:
        self._ctx = ctx
        self._silences = 0
        self._last_heard: object = None
        self._look_at_s = ctx.edges.clock.monotonic_s() + QUIET_S

    async def lost(self) -> DeviceUnreachable | None:
        """What proves that nothing of the node and its devices is heard here any more; None: it isn't so, or
        it isn't known."""
        ctx, now_s = self._ctx, self._ctx.edges.clock.monotonic_s()
        heard = ctx.mailbox.heard[-1] if ctx.mailbox.heard else None
        if heard is not self._last_heard:
            self._last_heard, self._silences, self._look_at_s = heard, 0, now_s + QUIET_S
        if now_s < self._look_at_s:
            return None
        silence = await self._silence()
        self._silences = self._silences + 1 if silence is not None else 0
        proven = silence is not None and self._silences >= SILENCES
        pause_s = AGAIN_S if silence is not None and not proven else QUIET_S
        self._look_at_s = ctx.edges.clock.monotonic_s() + pause_s
        if silence is None or not proven:
            return None
        self._silences = 0
        return DeviceUnreachable(
            f"wait for node {ctx.node.name} in {ctx.work.step}",
            device=ctx.device.name,
            answer=f"nothing was heard of the node for {QUIET_S:.0f} s, and its power device was silent "
            f"{SILENCES} times in a row; the last: {silence.answer or silence.message}",
            advice="Look at this host's way to the nodes and their power devices",
        )

    async def _silence(self) -> DeviceUnreachable | None:
        """Of the power device, asked once."""
        try:
            await self._ctx.edges.power.state(self._ctx.device, patience_s=0)
        except DeviceUnreachable as error:
            return error
        except ProvisionerError:
            pass  # it answered, if only to refuse; or the lease has no time left for the question
        return None
