"""The engine: one loop that runs a node's plan and persists what its steps return."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog

from provisioner.compute import console_mark
from provisioner.compute.agent_session import AgentLost
from provisioner.compute.assembly import load_context
from provisioner.compute.context import StepContext
from provisioner.compute.edges import Edges
from provisioner.compute.endings import ENDINGS, Ending
from provisioner.compute.ownership import next_to_try
from provisioner.compute.publishing import boot_entry
from provisioner.compute.reach import Reach
from provisioner.compute.steps import STEPS
from provisioner.core.errors import (
    Defect,
    DeviceUnreachable,
    HostLacks,
    ProvisionerError,
    StateError,
    StorageFull,
    TransientError,
)
from provisioner.core.failures import remedy_of
from provisioner.core.model import Failure, PublicationKind
from provisioner.core.outcome import Fail, Next, Outcome, Retry, Wait
from provisioner.core.plan import PLANS, Plan
from provisioner.core.states import WAIT_STATES, Event, ProvisionState, next_state
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

REBOOT_FROM = "set_boot_device"
"""Where a plan goes on when the agent of its ramdisk is gone."""

TRIED_BY = "tried_by"
"""A fact of a work: hosts that couldn't reach the node's devices since its last attempt was counted."""

BOOTS = ("boots", "starts")
"""Facts of a work: how often the node was started, for the ramdisk and for its instance, and not seen yet."""

CUT_SHORT = "cut_short"
"""A fact of a work: its retries that a change of owner was the reason of."""

LAST_PROVEN = "last_proven"
"""A fact of a work: the last step that proved something, and what, whichever process did it."""

MOST_CUT_SHORT = 50
"""As many are the provisioner's own deaths, drills and upgrades, and not held against the work. Beyond them
each counts as any other: the node itself may be what ends its hosts."""

HOSTS_PER_ATTEMPT = 2
"""A node that is dead for one host mostly is for all, and its requester waits to hear so."""

NEED_NOTHING_SERVED = frozenset(
    {"make_root", "publish_boot", "publish_instance_boot", "withdraw_instance", "withdraw_boot"}
    | {"power_off", "power_off_clean", "remove_root"}
)
"""Steps that publish something else instead, or one that does follows on them before the node boots."""

MAX_RETRY_DELAY_S = 30.0

ANOTHER_MAY = DeviceUnreachable, StorageFull, HostLacks
"""Causes that are a compute host's as well as its node's."""


class Worker:
    """Runs the work of one node to its end. Stop it by cancelling `run`: every step may be entered again."""

    def __init__(self, ctx: StepContext) -> None:
        self.ctx = ctx
        self._plan: Plan = PLANS[ctx.work.plan]
        self._ending: Ending = ENDINGS[ctx.work.plan]
        self._waiting_since_s: float | None = None
        self._reach = Reach(ctx)
        self._entered_s = ctx.edges.clock.monotonic_s()
        self._unserved = False
        """What the node boots may be withdrawn here, in whole or in part."""

    async def run(self) -> None:
        """Returns when the work has ended, well or badly. Raises LeaseLost when the node isn't ours."""
        while True:
            outcome = await self._attempt()
            if await self._settle(outcome):
                return

    @staticmethod
    async def taking_up(edges: Edges, node_id: str, *, served: bool = True) -> Worker | None:
        """Of a node's work, whose beginning is noted by it; None when it is not ours or there is none.

        served: what its row publishes is; else it is before anything is done that relies on it
        """

        def begin(tx: Tx) -> tuple[Worker, Mapping[str, Any]] | None:
            ctx = load_context(tx, edges, node_id)
            if ctx is None:
                return None
            worker = Worker(ctx)
            # Who boots nothing waits for nothing.
            worker._unserved = not served and ctx.node.publication.kind is not PublicationKind.NOTHING
            return worker, worker._enter(tx)

        begun = await edges.store.transact(begin)
        if begun is None:
            return None
        worker, stored = begun
        worker.ctx.ledger.wrote(stored)
        return worker

    async def give_up(self, cause: ProvisionerError) -> None:
        """Ends the work badly: it can't be gone on with, and no step is to blame."""
        await self._fail(cause)

    def _enter(self, tx: Tx) -> Mapping[str, Any]:
        """Notes where the work is taken up: at its beginning, or where another process left it."""
        ctx, work = self.ctx, self.ctx.work
        entry = self._plan.resume_at(work.step)
        fresh = work.step == self._plan.steps[0].name and not work.facts
        ctx.resumed = not fresh
        text = "" if fresh else f"taken up again by this process at {entry}; it had come to {work.step}"
        facts = {**work.facts, **console_mark.take_up(ctx)}
        return ctx.ledger.write_in(
            tx,
            {"work": replace(work, step=entry, facts=facts), "state": self._acting_state()},
            ctx.ledger.event("step.started" if fresh else "step.resumed", text, step=entry),
        )

    def _acting_state(self) -> ProvisionState:
        state = self.ctx.node.state
        return next_state(state, Event.NODE_ANSWERED) if state in WAIT_STATES else state

    async def _attempt(self) -> Outcome:
        step = self.ctx.work.step
        self.ctx.device = replace(self.ctx.device, hurried=self._may_pass_on())
        if self._unserved and step not in NEED_NOTHING_SERVED:
            unserved = await self._serve_again()
            if unserved is not None:
                return unserved
        try:
            return await STEPS[step](self.ctx)
        except StateError:
            raise
        except AgentLost as error:
            return Retry(error, from_step=REBOOT_FROM)
        except TransientError as error:
            return Retry(error)
        except HostLacks as error:
            return Retry(error)  # one that has it may be back soon
        except ProvisionerError as error:
            return Fail(error)
        except Exception as error:  # noqa: BLE001 - a defect must end one deploy, never the host
            log.error("step.defect", node=self.ctx.node.name, step=step, trace=traceback.format_exc())
            return Fail(Defect.of(f"run step {step}", f"node {self.ctx.node.name}", error))

    async def _settle(self, outcome: Outcome) -> bool:
        """Persists an outcome; True when the work has ended."""
        match outcome:
            case Next():
                return await self._go_on(outcome)
            case Wait():
                return await self._wait(outcome)
            case Retry():
                return await self._retry(outcome)
            case Fail():
                if not await self._passed_on(outcome.cause, self.ctx.work.step):
                    await self._fail(outcome.cause)
                return True

    async def _go_on(self, outcome: Next) -> bool:
        ctx, work = self.ctx, self.ctx.work
        ctx.edges.meter.step_ended(work.step, ctx.edges.clock.monotonic_s() - self._entered_s)
        self._left_step()
        # The instance that the step began with: power_off of a cleaning ends without it.
        done = ctx.ledger.event("step.done", outcome.proof, step=work.step, instance=ctx.instance)
        following = self._plan.after(work.step)
        if following is None:
            await self._ending.well(ctx, done)
            return True
        facts = {**work.facts, **outcome.facts}
        if outcome.proof:
            facts[LAST_PROVEN] = f"{work.step}: {outcome.proof}"
        await ctx.ledger.write(
            {"work": replace(work, step=following, facts=facts), "state": self._acting_state()},
            done,
            ctx.ledger.event("step.started", step=following),
        )
        return False

    async def _wait(self, outcome: Wait) -> bool:
        ctx, clock = self.ctx, self.ctx.edges.clock
        if self._waiting_since_s is None:
            self._waiting_since_s = clock.monotonic_s()
            self._reach = Reach(ctx)
            if ctx.node.state not in WAIT_STATES:
                waiting = next_state(ctx.node.state, Event.AWAIT_NODE)
                event = ctx.ledger.event("step.waiting", outcome.for_what, step=ctx.work.step)
                await ctx.ledger.write({"state": waiting}, event)
        remaining_s = self._waiting_since_s + outcome.deadline_s - clock.monotonic_s()
        if remaining_s <= 0:
            return await self._settle(outcome.otherwise())
        # Sooner than that, when it is us who can't hear: another host may be in time for what the node asks.
        lost = await self._reach.lost()
        if lost is not None and await self._passed_on(lost, self._begins_at(outcome), boot_counts=False):
            return True
        await ctx.mailbox.news(min(outcome.poll_s, remaining_s))
        return False

    def _begins_at(self, outcome: Wait) -> str:
        """Where another host goes on with a wait. Of what the node did under an earlier process nothing is
        known here: then it looks."""
        heard = self.ctx.resumed or self.ctx.mailbox.heard
        return self.ctx.work.step if heard or outcome.begins_at is None else outcome.begins_at

    async def _retry(self, outcome: Retry) -> bool:
        ctx, work = self.ctx, self.ctx.work
        target = outcome.from_step or work.step
        if await self._passed_on(outcome.cause, target):
            return True
        cut_short = int(work.facts.get(CUT_SHORT, 0))
        counts = outcome.counts or cut_short >= MOST_CUT_SHORT
        if counts and work.retries >= self._plan.max_retries:
            await self._fail(outcome.cause)
            return True
        ctx.edges.meter.step_retried(work.step)
        self._left_step()
        if counts:
            facts = {name: value for name, value in work.facts.items() if name != TRIED_BY}
            again = replace(work, step=target, retries=work.retries + 1, facts=facts)
        else:
            again = replace(work, step=target, facts={**work.facts, CUT_SHORT: cut_short + 1})
        await ctx.ledger.write(
            {"work": again, "state": self._acting_state()},
            ctx.ledger.event("step.retry", outcome.cause.message, step=work.step, detail={"from": target}),
            ctx.ledger.event("step.started", step=target),
        )
        log.warning("step.retry", node=ctx.node.name, step=work.step, cause=outcome.cause.message)
        await ctx.edges.clock.sleep(min(outcome.delay_s * 2**work.retries, MAX_RETRY_DELAY_S))
        return False

    async def _passed_on(self, cause: ProvisionerError, target: str, *, boot_counts: bool = True) -> bool:
        """What this host can't reach, or has no room or means for, another may: the work goes to one that
        hasn't tried. Only when that one can't either it counts as an attempt.

        boot_counts: whether the node's last boot says something of the node
        """
        ctx, edges, work = self.ctx, self.ctx.edges, self.ctx.work
        tried = self._tried()
        if not isinstance(cause, ANOTHER_MAY) or len(tried) >= HOSTS_PER_ATTEMPT:
            return False
        host = await edges.store.transact(lambda tx: next_to_try(tx, edges.hosts(tx), tried))
        if host is None or not await self._withdrawn():
            return False
        facts = {name: value for name, value in work.facts.items() if boot_counts or name not in BOOTS}

        def pass_on(tx: Tx) -> tuple[str, Mapping[str, Any]] | None:
            # To withdraw takes its time: who was there before may have left since, and be forgotten.
            host = next_to_try(tx, edges.hosts(tx), tried)
            if host is None:
                return None
            return host, ctx.ledger.write_in(
                tx,
                {
                    "owner": host,
                    "fence": ctx.node.fence + 1,
                    "work": replace(work, step=target, facts={**facts, TRIED_BY: tried}),
                    "state": self._acting_state(),
                },
                ctx.ledger.event(
                    "step.passed_on",
                    f"{cause.message}. {host} tries now",
                    step=work.step,
                    detail={"from": edges.lease.host, "to": host},
                ),
                also=lambda tx: tx.notify("nodes", "work"),
            )

        passed = await edges.store.transact(pass_on)
        if passed is None:
            return False
        host, stored = passed
        ctx.ledger.wrote(stored)
        self._left_step()
        log.warning("step.passed_on", node=ctx.node.name, step=work.step, to=host, cause=cause.message)
        return True

    async def _withdrawn(self) -> bool:
        """Whether nothing of the node is served from here any more, and no device is doing what it was told
        from here. If not, its work stays, and the attempt counts: what keeps services from it may keep them
        for ever."""
        node = self.ctx.node
        self._unserved = True
        try:
            await self.ctx.edges.publisher.withdraw(node.id)
        except StateError:
            raise
        except (ProvisionerError, OSError) as error:
            log.error("node.not_withdrawn", node=node.name, cause=str(error))
            return False
        # An operator's order that gave way to this work, say.
        await self.ctx.edges.lease.commands_end()
        return True

    async def _serve_again(self) -> Outcome | None:
        """What was to be another host's, and is ours still, or what couldn't be served when it became ours.
        None: it is. Whatever keeps services from it may pass: even a root's storage may be mounted late."""
        node = self.ctx.node
        try:
            await self.ctx.edges.publisher.publish(boot_entry(self.ctx.edges, node, self.ctx.ports))
        except StateError:
            raise
        except ProvisionerError as error:
            return Retry(error)
        except Exception as error:  # noqa: BLE001 - as in _attempt
            log.error("step.defect", node=node.name, step="serve", trace=traceback.format_exc())
            return Retry(Defect.of("serve what it boots", f"node {node.name}", error))
        self._unserved = False
        return None

    def _tried(self) -> list[str]:
        """Hosts that will have tried when this one has."""
        return [*self.ctx.work.facts.get(TRIED_BY, ()), self.ctx.edges.lease.host]

    def _may_pass_on(self) -> bool:
        """As far as it is known without a look."""
        edges, tried = self.ctx.edges, self._tried()
        others = edges.lease.others.takers(edges.clock.monotonic_s()).difference(tried)
        return len(tried) < HOSTS_PER_ATTEMPT and bool(others)

    async def _fail(self, cause: ProvisionerError) -> None:
        ctx = self.ctx
        self._left_step()
        failure = Failure(
            code=cause.code,
            message=cause.message,
            step=ctx.work.step,
            last_proven=str(ctx.work.facts.get(LAST_PROVEN, "nothing yet")),
            likely_cause=cause.advice or remedy_of(cause.code),
        )
        log.error("work.failed", node=ctx.node.name, step=failure.step, cause=failure.message)
        await self._ending.badly(ctx, failure)

    def _left_step(self) -> None:
        self._waiting_since_s = None
        self._entered_s = self.ctx.edges.clock.monotonic_s()
        self.ctx.resumed = False
        self.ctx.edges.progress.clear(self.ctx.node.id)
