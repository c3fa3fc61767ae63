"""Commands to the agent of one boot of the ramdisk, and the news that it is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from provisioner.agent import VERSION
from provisioner.compute.context import StepContext
from provisioner.core.errors import PermanentError, StateError, TransientError
from provisioner.protocols.agent import AgentClient

NOT_UNDERSTOOD = ("unknown-command-name", "invalid-command", "invalid-params")
"""What an agent says of commands that it doesn't know, or not so."""


DISKS = frozenset({"device", "devices"})
"""Parameters that name disks as the kernel of this boot does."""


class AgentLost(TransientError):
    """The ramdisk's agent is gone, or another boot of it answers, or one of another version: boot the ramdisk
    again."""

    code = "agent-lost"


async def run_command(
    ctx: StepContext,
    name: str,
    params: Mapping[str, Any],
    *,
    timeout_s: float,
    progress: Callable[[float], None] | None = None,
) -> Mapping[str, Any]:
    """One command, repeated while the agent of this boot is only hard to reach. One that names disks goes to
    this boot alone: another one may call them otherwise.

    Raises AgentLost, or as AgentClient.run.
    """
    agent = client(ctx)
    while True:
        try:
            if DISKS.intersection(params):
                await _need_same_boot(ctx, f"have {name} run")
            return await agent.run(name, params, timeout_s=timeout_s, progress=progress)
        except (StateError, AgentLost):
            raise
        except TransientError as error:
            await wait_for_same_boot(ctx, error)
        except PermanentError as error:
            if error.code in NOT_UNDERSTOOD:
                await _need_our_version(ctx, error)
            raise


def client(ctx: StepContext) -> AgentClient:
    """The agent of this node, by the address and token it was booted with."""
    sealed = ctx.node.publication.token_sealed
    if ctx.agent is None or ctx.agent[0] != sealed:
        ctx.agent = (sealed, ctx.edges.agent(ctx.node, ctx.boot_port.address, ctx.edges.unseal(sealed)))
    return ctx.agent[1]


async def _need_our_version(ctx: StepContext, cause: PermanentError) -> None:
    """Raises AgentLost when it was booted by a compute host of another version: this one's ramdisk has an
    agent that understands us."""
    try:
        status = await client(ctx).status()
    except TransientError:
        return
    if status.version != VERSION:
        raise AgentLost(
            cause.tried, device=cause.device, answer=f"it is of version {status.version}"
        ) from cause


async def _need_same_boot(ctx: StepContext, tried: str) -> None:
    """Raises AgentLost when the agent of another boot answers, TransientError when none does."""
    status = await client(ctx).status()
    if status.boot_id != ctx.facts.get("agent_boot_id"):
        raise AgentLost(tried, device=f"agent of node {ctx.node.name}", answer="the node has restarted")


async def wait_for_same_boot(ctx: StepContext, cause: TransientError) -> None:
    """Returns when the agent of this boot answers again. Raises AgentLost when another boot of it
    answers, or none for `agent_patience_s`."""
    clock, policy = ctx.edges.clock, ctx.edges.policy
    end_s = clock.monotonic_s() + policy.agent_patience_s
    while True:
        try:
            return await _need_same_boot(ctx, cause.tried)
        except StateError:
            raise
        except AgentLost as lost:
            raise lost from cause
        except TransientError:
            if clock.monotonic_s() >= end_s:
                raise AgentLost(
                    cause.tried,
                    device=f"agent of node {ctx.node.name}",
                    answer=f"no answer for {policy.agent_patience_s:.0f} s; before that: {cause.message}",
                ) from cause
        await clock.sleep(1.0)
