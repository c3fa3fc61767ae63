"""A board without BMC and agent, from its power to its SSH server: its monitor gives it commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from urllib.parse import urlsplit

from provisioner.compute import console_mark
from provisioner.compute.context import StepContext
from provisioner.compute.steps.boot import patience
from provisioner.compute.steps.instance import (
    BEGUN_BEFORE,
    forget_starts_cut_short,
    root_elsewhere,
    start_again,
)
from provisioner.compute.steps.nfs import ROOT_MARK, ROOT_MARKED
from provisioner.core.board_rules import commands_of, listed, looks_of, rules_of, stand_in
from provisioner.core.diagnosis import boot_stopped
from provisioner.core.errors import DeviceRefused, DeviceUnreachable, TransientError
from provisioner.core.outcome import Fail, Next, Outcome, Retry, Wait
from provisioner.core.plan import PLANS
from provisioner.core.readable import shortened
from provisioner.protocols.events import WireEvent

NIC = "xgbe0"
SSHD = "/usr/sbin/sshd"

AT_ONCE = 8
"""Commands in one call of the monitor, which has the time of one: a board may take a second for each."""

FILTER_TRIES = "filter_tries"
MOST_FILTER_TRIES = 3
"""What iptables refuses it refuses again; a board may yet have been busy."""

Step = Callable[[StepContext], Awaitable[Outcome]]


def _on_a_root_from_here(step: Step) -> Step:
    """The step of a board that runs on a root which this host serves; one that doesn't is started again."""

    @wraps(step)
    async def guarded(ctx: StepContext) -> Outcome:
        return root_elsewhere(ctx) or await step(ctx)

    return guarded


def _while_it_is_up(step: Step) -> Step:
    """The step of a board that has answered. One that has lost its power since, and hears neither its monitor
    nor a ping, is started again: no command comes through to it ever. One that answers pings, and doesn't do
    what it is told, wouldn't do it for another compute host either, which had to start it again for that."""

    @wraps(step)
    async def guarded(ctx: StepContext) -> Outcome:
        try:
            return await step(ctx)
        except DeviceUnreachable as error:
            if not await ctx.edges.ping.answers(ctx.boot_port.address):
                ctx.ledger.note_facts({"starts": 0})  # it came up
                return Retry(error, from_step="reboot")
            return _not_done(ctx, error)

    return guarded


def _not_done(ctx: StepContext, error: DeviceUnreachable) -> Retry | Fail:
    again = TransientError(error.tried, device=error.device, answer=error.answer, advice=error.advice)
    again.code = "filter-failed" if ctx.work.step == "filter_board_packets" else "monitor-failed"
    # It answered up to here, and its SSH server was seen: it is the rules' fault before it is its own. A call
    # that ran out of its time says nothing of either.
    if again.code == "filter-failed" and not isinstance(error.__cause__, TimeoutError):
        tries = int(ctx.facts.get(FILTER_TRIES, 0)) + 1
        if tries >= MOST_FILTER_TRIES:
            return Fail(again)
        ctx.ledger.note_facts({FILTER_TRIES: tries})
    return Retry(again)


@_on_a_root_from_here
async def board_answers(ctx: StepContext) -> Outcome:
    """It answers a ping, and runs on the root that was made for it: what an instance before left running
    answers as well, where an outlet doesn't switch it. What its console says meanwhile may end the waiting;
    also that for a boot which was begun before, and is begun again."""
    await forget_starts_cut_short(ctx)
    address, silent = ctx.boot_port.address, "no ping was answered"
    if await ctx.edges.ping.answers(address):
        if not any(event.name == "board.ping" for event in ctx.mailbox.heard):
            _saw(ctx, "board.ping", f"{address} answers a ping")
        if ctx.facts.get(ROOT_MARKED) != ctx.facts["root_folder"]:
            return _marked_anew(ctx)
        silent = await _root_not_told(ctx)
        if not silent:
            _saw(ctx, "board.root", f"{address} runs on {ctx.facts['root_folder']}")
            told = f"{address} answers a ping, and runs on the root that was made for it"
            return Next(told, {FILTER_TRIES: 0})
    if stopped := boot_stopped(console_mark.said(ctx)):
        line, cause = stopped
        error = DeviceRefused(
            "boot the board", device=f"node {ctx.node.name}", answer=f"its console says: {line}", advice=cause
        )
        error.code = "boot-stopped"
        # Its kernel and root were gone with whoever served them, of a boot that outlived its owner.
        outlived = ctx.resumed or ctx.facts.get(BEGUN_BEFORE)
        return Retry(error, from_step="reboot", counts=False) if outlived else Fail(error)
    deadline_s = ctx.edges.policy.running_deadline_s
    return Wait(
        f"the board at {address} answers a ping",
        deadline_s=patience(ctx, deadline_s),
        otherwise=lambda: start_again(ctx, "hear from the board", f"{silent} within {deadline_s:.0f} s"),
        poll_s=1.0,
        begins_at="reboot",
    )


@_on_a_root_from_here
@_while_it_is_up
async def set_board_network(ctx: StepContext) -> Outcome:
    """Its NIC has the MAC address that it was enrolled with and its reserved address, whatever it had."""
    port = ctx.boot_port
    await _run(
        ctx,
        ("ifconfig", NIC, "hw", "ether", port.id),
        ("ifconfig", NIC, port.address, "netmask", ctx.edges.netmask),
    )
    return Next(f"its monitor gave {NIC} the MAC address {port.id} and the address {port.address}")


@_on_a_root_from_here
@_while_it_is_up
async def start_board_sshd(ctx: StepContext) -> Outcome:
    """A second one would end by itself: the port is taken."""
    await _run(ctx, (SSHD,))
    _saw(ctx, "board.sshd", f"its monitor started {SSHD}")
    return Next(f"its monitor started {SSHD}")


@_on_a_root_from_here
@_while_it_is_up
async def filter_board_packets(ctx: StepContext) -> Outcome:
    """The rules that the instance's owner asked for."""
    instance, _ = ctx.deploy()
    rules = rules_of(instance.user_data)
    seen = ctx.facts["seen"]
    if not rules:
        return Next(f"{seen}; no packet filter was asked for")
    host = urlsplit(ctx.edges.node_url).hostname or ""
    await _run(ctx, *commands_of(rules, host))
    for chain, look in looks_of(rules).items():
        there, wanted = listed(await _run(ctx, look)), stand_in(chain, rules)
        if there < wanted:  # iptables makes several of one rule with several addresses
            raise DeviceUnreachable(
                "apply the packet filter",
                device=f"node {ctx.node.name}",
                answer=f"{there} rules stand in its chain {chain}, and {wanted} were to",
                advice="Run the rules by hand: its monitor may not tell of one that iptables doesn't take",
            )
    applied = f"{len(rules)} rule{'s' if len(rules) != 1 else ''}"
    return Next(f"{seen}; its monitor applied {applied} of its packet filter")


def _marked_anew(ctx: StepContext) -> Retry:
    """Of a root that an earlier version of this program made: what the board runs on, nobody can tell."""
    ctx.ledger.note_facts({"starts": 0})  # they say nothing of the instance
    error = TransientError(
        "hear which root the board runs on",
        device=f"node {ctx.node.name}",
        answer="the root that was made for it has no mark: it is made anew",
    )
    return Retry(error, from_step=PLANS[ctx.work.plan].first, counts=False)


async def _root_not_told(ctx: StepContext) -> str:
    """Why it isn't known to run on the root that was made for it; empty: it does."""
    try:
        told = await _run(ctx, ("cat", f"/{ROOT_MARK}"))
    except DeviceUnreachable as error:  # its monitor may come later than its network
        return f"pings were answered, and its root wasn't told ({error.answer})"
    if ctx.facts["root_folder"] in told.split():
        return ""
    return f"pings were answered from another root ({shortened(told.strip(), 100) or 'without a mark'})"


async def _run(ctx: StepContext, *commands: Sequence[str]) -> str:
    """What they printed. Within the lease, as every command to a machine. Raises DeviceUnreachable,
    HostLacks."""
    monitor, printed = ctx.edges.monitor, ""
    for begin in range(0, len(commands), AT_ONCE):
        await ctx.edges.lease.cover(monitor.longest_command_s)
        printed += await monitor.run(ctx.boot_port.address, commands[begin : begin + AT_ONCE])
    return printed


def _saw(ctx: StepContext, name: str, text: str) -> None:
    ctx.edges.evidence(WireEvent(source="board", name=name, node_id=ctx.node.id, text=text))
