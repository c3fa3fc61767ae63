"""Commands run once, one at a time, and only for the newest owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent_peer import AgentPeer, CommandFailed
from tests.unit.agent.stage import Stage, staged

Agent = tuple[Stage, AgentPeer]

LONG_S = 30.0
"""No answer at all would be a failure; how long one takes is none."""


def test_a_command_gives_its_result(agent: Agent) -> None:
    stage, peer = agent
    assert peer.run("note", text="hello") == {"noted": "hello"}
    assert stage.acts == ["shut out", "hello"]


def test_a_command_given_twice_runs_once(agent: Agent) -> None:
    stage, peer = agent
    for _ in range(2):
        status, _ = peer.give("note", {"text": "once"}, command_id="a")
        assert status == 202
    peer.ask("GET", "/v1/commands/a?wait_s=5")
    assert stage.acts.count("once") == 1


def test_an_id_cannot_be_given_to_another_command(agent: Agent) -> None:
    _, peer = agent
    peer.give("note", {"text": "one"}, command_id="a")
    status, problem = peer.give("note", {"text": "two"}, command_id="a")
    assert (status, problem["code"]) == (409, "command-id-reused")


def test_a_second_command_is_refused_while_one_runs(agent: Agent) -> None:
    _, peer = agent
    peer.give("hold", {}, command_id="first")
    status, problem = peer.give("note", {"text": "second"})
    assert (status, problem["code"], problem["running"]) == (409, "busy", "first")


def test_an_older_fence_is_refused_and_told_the_newest(agent: Agent) -> None:
    stage, peer = agent
    peer.run("note", text="new")
    peer.fence = 4
    status, problem = peer.give("note", {"text": "stale"})
    assert (status, problem["code"], problem["fence"]) == (403, "stale-fence", 5)
    status, problem = peer.ask("DELETE", "/v1/commands/note-5-1?fence=4")
    assert (status, problem["code"]) == (403, "stale-fence")
    assert "stale" not in stage.acts


def test_a_newer_fence_ends_the_older_owners_command_and_exports_first(agent: Agent) -> None:
    stage, peer = agent
    peer.run("note", text="before")
    peer.give("hold", {}, command_id="old")
    assert stage.holding.wait(LONG_S)
    peer.fence = 6
    assert peer.run("note", text="after") == {"noted": "after"}
    _, old = peer.ask("GET", "/v1/commands/old")
    assert (old["state"], old["error"]["code"]) == ("failed", "superseded")
    assert stage.acts == ["shut out", "before", "shut out", "after"]


def test_the_successor_waits_until_the_older_owners_command_has_really_ended(agent: Agent) -> None:
    stage, peer = agent
    peer.give("hold", {"stubborn": 1}, command_id="old")
    assert stage.holding.wait(LONG_S)
    peer.fence = 6
    status, new = peer.give("note", {"text": "after"}, command_id="new")
    assert (status, new["state"]) == (202, "running")
    _, new = peer.ask("GET", "/v1/commands/new?wait_s=0.1")
    assert (new["state"], stage.acts) == ("running", ["shut out"])
    stage.gate.set()
    _, new = peer.ask("GET", "/v1/commands/new?wait_s=5")
    assert (new["state"], stage.acts) == ("done", ["shut out", "shut out", "after"])


def test_a_command_waiting_for_its_turn_can_be_superseded_too(agent: Agent) -> None:
    stage, peer = agent
    peer.give("hold", {"stubborn": 1}, command_id="first")
    assert stage.holding.wait(LONG_S)
    peer.fence = 6
    peer.give("note", {"text": "second"}, command_id="second")
    peer.fence = 7
    peer.give("note", {"text": "third"}, command_id="third")
    stage.gate.set()
    peer.ask("GET", "/v1/commands/third?wait_s=5")
    _, second = peer.ask("GET", "/v1/commands/second")
    assert second["error"]["code"] == "superseded"
    assert "second" not in stage.acts and stage.acts[-1] == "third"


def test_a_running_command_can_be_cancelled(agent: Agent) -> None:
    stage, peer = agent
    peer.give("hold", {}, command_id="a")
    assert stage.holding.wait(LONG_S)
    assert peer.ask("DELETE", "/v1/commands/a?fence=5")[0] == 202
    _, command = peer.ask("GET", "/v1/commands/a?wait_s=5")
    assert (command["state"], command["error"]["code"]) == ("failed", "cancelled")
    assert peer.run("note", text="next") == {"noted": "next"}


def test_cancelling_what_has_ended_changes_nothing(agent: Agent) -> None:
    _, peer = agent
    peer.give("note", {"text": "done"}, command_id="a")
    peer.ask("GET", "/v1/commands/a?wait_s=5")
    status, command = peer.ask("DELETE", "/v1/commands/a?fence=5")
    assert (status, command["state"]) == (202, "done")


def test_the_fence_survives_a_restart_of_the_agent_within_one_boot(tmp_path: Path) -> None:
    with staged(tmp_path) as (_, peer):
        peer.run("note", text="first")
    with staged(tmp_path) as (stage, peer):
        assert peer.ask("GET", "/v1/status")[1]["fence"] == 5
        peer.fence = 4
        assert peer.give("note", {"text": "stale"})[0] == 403
        assert stage.acts == []


def test_who_was_shut_out_before_a_boot_is_not_obeyed_by_it(tmp_path: Path) -> None:
    """Its token is the same: a boot that is repeated keeps it."""
    with staged(tmp_path, fence=6) as (stage, peer):
        status, problem = peer.give("note", {"text": "stale"})
        assert (status, problem["code"], problem["fence"]) == (403, "stale-fence", 6)
        peer.fence = 6
        assert peer.run("note", text="new") == {"noted": "new"}
        assert stage.acts == ["new"]
    with staged(tmp_path, fence=6) as (_, peer):
        peer.fence = 7
        peer.run("note", text="newer")
    with staged(tmp_path, fence=6) as (_, peer):
        assert peer.ask("GET", "/v1/status")[1]["fence"] == 7, "a restart within the boot forgets nothing"


def test_a_failed_command_tells_code_and_message(agent: Agent) -> None:
    stage, peer = agent
    with pytest.raises(CommandFailed, match="disk-on-fire: the disk /dev/sda is on fire"):
        peer.run("fail")
    assert any("disk-on-fire" in line for line in stage.said)


def test_a_bug_in_a_command_fails_that_command_alone(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    _, peer = agent
    with pytest.raises(CommandFailed, match="internal-error: ZeroDivisionError"):
        peer.run("break")
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert peer.run("note", text="alive") == {"noted": "alive"}


def test_progress_shows_in_the_status(agent: Agent) -> None:
    stage, peer = agent
    peer.give("hold", {}, command_id="a")
    assert stage.holding.wait(LONG_S)
    _, command = peer.ask("GET", "/v1/commands/a")
    _, status = peer.ask("GET", "/v1/status")
    assert command["progress"] == {"done_bytes": 1, "total_bytes": 2}
    assert status["command"] == command


def test_old_commands_are_forgotten_after_a_while(agent: Agent) -> None:
    stage, peer = agent
    for number in range(70):
        peer.give("note", {"text": "again"}, command_id=f"c{number}")
        peer.ask("GET", f"/v1/commands/c{number}?wait_s=5")
    assert peer.ask("GET", "/v1/commands/c69")[0] == 200
    status, problem = peer.ask("GET", "/v1/commands/c0")
    assert (status, problem["code"]) == (404, "unknown-command")
    assert stage.acts.count("again") == 70
