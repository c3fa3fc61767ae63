"""A board that is told everything by its monitor: another list of steps, the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from provisioner.compute.steps import instance as instance_steps
from provisioner.compute.steps.nfs import ROOT_MARKED
from provisioner.core.model import Node, PublicationKind
from provisioner.core.plan import PLANS
from provisioner.core.states import InstanceState, ProvisionState
from tests.unit.compute import fake_world
from tests.unit.compute.fake_board import FakeBoard
from tests.unit.compute.fake_world import FakeWorld

DEPLOY = [spec.name for spec in PLANS["deploy-tilera"].steps]
CLEAN = [spec.name for spec in PLANS["clean-tilera"].steps]
RULE = "-A INPUT -p tcp ! -s 10.0.0.5 --dport 22 -j DROP"

play = partial(
    fake_world.play, deploy_driver="nfs", boot_driver="tilera", firmware="tilera", disk_mib=0, wipe_owed=""
)


def test_a_board_is_told_its_network_its_ssh_server_and_the_rules_that_were_asked_for(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask(user_data=f"#iptables\n{RULE}\n", public_key="ssh-ed25519 AAAA me")
        await world.becomes(ProvisionState.ACTIVE)
        assert world.board.commands == [
            ("ifconfig", "xgbe0", "hw", "ether", "52:54:00:77:00:01"),
            ("ifconfig", "xgbe0", "10.77.0.101", "netmask", "255.255.255.0"),
            ("/usr/sbin/sshd",),
            ("iptables", "-F", "INPUT"),
            ("iptables", "-I", "INPUT", "-s", "10.77.0.10", "-j", "ACCEPT"),
            ("iptables", *RULE.split()),
        ]
        (files,) = world.rack.roots.folders.values()
        root = "".join(files.values())
        assert "ssh-ed25519 AAAA me\n" in root
        assert "web\n" in root
        entry = world.rack.machine("n1").entry
        assert entry is not None
        assert entry.nfs_source == f"10.77.0.10:/{(await world.node()).publication.root}"
        events = [event.name for event in await world.events()]
        assert ("board.ping" in events, "board.sshd" in events) == (True, True)

    play(tmp_path, story)


@pytest.mark.parametrize("step", DEPLOY)
def test_a_deploy_goes_on_to_active_after_the_death_of_the_process_in(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.comes_to(step)
        await world.die()
        world.start()
        await world.becomes(ProvisionState.ACTIVE)
        node = await world.node()
        assert list(world.rack.roots.folders) == [node.publication.root], "none of an earlier attempt is left"

    play(tmp_path, story)


@pytest.mark.parametrize("step", CLEAN)
def test_a_deletion_goes_on_after_the_death_of_the_process_in(step: str, tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        await world.delete()
        await world.comes_to(step)
        await world.die()
        world.start()
        await world.becomes(ProvisionState.AVAILABLE)
        assert world.rack.roots.folders == {}
        node = await world.node()
        assert (node.publication.kind, node.wipe_owed) == (PublicationKind.NOTHING, "")

    play(tmp_path, story)


def test_a_board_that_hangs_is_started_again_and_then_fails_by_its_last_proven_step(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.rack.hangs = True
        await world.ask()
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert "start 2 of 2" in failure.message
        assert "last proven: the power device confirmed that the node is on" in failure.message
        assert "no DHCP request was seen" in failure.likely_cause

    play(tmp_path, story)


def test_what_its_console_says_ends_the_waiting_at_once(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.rack.hangs = True
        world.console = (
            "booter: 5 bytes\nkernel k is ELF machine 62 (x86-64), not ELF machine 188: not started\n"
        )
        await world.ask()
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert (failure.code, failure.step) == ("boot-stopped", "board_answers")
        assert "its console says: kernel k is ELF machine 62" in failure.message
        assert "built for the node's processor" in failure.likely_cause

    play(tmp_path, story)


def test_a_boot_that_stopped_while_nobody_served_it_is_begun_again(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.rack.hangs = True
        await world.ask()
        await world.comes_to("board_answers")
        await world.die()
        world.console = "No init found on 10.77.0.10:/n1: Permission denied\n"
        world.start()

        async def begins_again() -> bool:
            return any(event.name == "step.retry" for event in await world.events())

        await world.until("another boot", begins_again)
        world.rack.hangs, world.console = False, ""
        await world.becomes(ProvisionState.ACTIVE)

    play(tmp_path, story)


def test_rules_that_are_not_applied_end_the_request_and_blame_no_node(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.board.refuses = "iptables"
        await world.ask(user_data="#iptables\n-A INPUT -m nothing -j DROP\n")
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure, node = (await world.instance()).failure, await world.node()
        assert failure is not None
        assert (failure.code, failure.step) == ("filter-failed", "filter_board_packets")
        assert (node.maintenance, node.deploy_failures) == (False, 0)
        told = [event.name for event in await world.events()]
        assert told.count("step.retry") == 2
        assert told.count("power.on") == 1, "nobody started the board again for it"

    play(tmp_path, story)


def test_a_boot_that_a_dead_owner_began_on_outlets_that_did_not_show_it_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: FakeWorld) -> None:
        world.rack.hangs = True
        with monkeypatch.context() as dying:
            dying.setattr(instance_steps, "switch_on", lambda ctx: asyncio.Event().wait())
            await world.ask()
            await world.comes_to("reboot")
            await world.die()
        world.start()
        await world.comes_to("board_answers")
        world.console = "No init found on 10.77.0.11:/n1: Permission denied\n"

        async def begins_again() -> bool:
            return any(event.name == "step.retry" for event in await world.events())

        await world.until("another boot", begins_again)
        world.rack.hangs, world.console = False, ""
        await world.becomes(ProvisionState.ACTIVE)

    play(tmp_path, story)


def test_a_monitor_that_fails_for_a_while_delays_a_deploy_and_no_more(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.board.failures = 3
        await world.ask()
        await world.becomes(ProvisionState.ACTIVE)
        assert (await world.instance()).state is InstanceState.ACTIVE

    play(tmp_path, story)


def test_a_root_without_a_mark_is_made_anew(tmp_path: Path) -> None:
    """By the version before, or by a host that it still runs on."""

    async def story(world: FakeWorld) -> None:
        world.rack.hangs = True
        await world.ask()
        await world.comes_to("board_answers")
        await world.die()
        node = await world.node()
        assert node.work is not None
        unmarked = node.publication.root
        work = replace(node.work, facts={**node.work.facts, ROOT_MARKED: "another"})
        await world.store.transact(lambda tx: tx.update(Node, node.id, {"work": work}))
        world.rack.hangs = False
        world.rack.switch(world.rack.machine("n1"), on=True)
        world.start()
        await world.becomes(ProvisionState.ACTIVE)
        assert (await world.node()).publication.root not in ("", unmarked)
        assert "has no mark: it is made anew" in " ".join(event.text for event in await world.events())

    play(tmp_path, story)


def test_a_board_that_still_runs_what_it_ran_is_not_taken_for_the_instance(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.board.root = "of-an-instance-before"
        await world.ask()
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert (failure.code, failure.step) == ("instance-never-seen", "board_answers")
        assert "pings were answered from another root (of-an-instance-before)" in failure.message
        assert world.board.commands == []

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("refuses", "code", "step"),
    [
        ("cat", "instance-never-seen", "board_answers"),
        ("ifconfig", "monitor-failed", "set_board_network"),
        ("/usr/sbin/sshd", "monitor-failed", "start_board_sshd"),
    ],
)
def test_a_monitor_that_does_nothing_while_the_board_answers_is_not_held_against_it(
    refuses: str, code: str, step: str, tmp_path: Path
) -> None:
    async def story(world: FakeWorld) -> None:
        world.board.refuses = refuses
        await world.ask()
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure, node = (await world.instance()).failure, await world.node()
        assert failure is not None
        assert (failure.code, failure.step) == (code, step)
        assert "it ended with 2" in failure.message
        assert (node.maintenance, node.deploy_failures) == (False, 0)

    play(tmp_path, story)


def test_rules_that_a_monitor_only_says_it_applied_are_not_taken_for_applied(tmp_path: Path) -> None:
    async def story(world: FakeWorld) -> None:
        world.board.ignores = "iptables"
        await world.ask(user_data=f"#iptables\n{RULE}\n")
        await world.becomes(ProvisionState.DEPLOY_FAILED)
        failure = (await world.instance()).failure
        assert failure is not None
        assert failure.code == "filter-failed"
        assert "0 rules stand in its chain INPUT, and 2 were to" in failure.message

    play(tmp_path, story)


def test_many_rules_are_not_to_be_applied_in_the_time_of_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    run = FakeBoard.run

    async def counted(self: FakeBoard, address: str, commands: Sequence[Sequence[str]]) -> str:
        calls.append(len(commands))
        return await run(self, address, commands)

    monkeypatch.setattr(FakeBoard, "run", counted)

    async def story(world: FakeWorld) -> None:
        rules = "\n".join(f"-A INPUT -s 10.0.0.{number} -j DROP" for number in range(1, 65))
        await world.ask(user_data=f"#iptables\n{rules}\n")
        await world.becomes(ProvisionState.ACTIVE)
        assert sum(calls) >= 66
        assert max(calls) <= 8

    play(tmp_path, story)
