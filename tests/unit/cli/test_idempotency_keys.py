"""--idempotency-key: which commands take it, and that it is the order's."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from provisioner.api.once import MAX_KEY_BYTES
from provisioner.cli.client import MAX_KEY_LETTERS
from provisioner.cli.main import app
from tests.unit.cli.conftest import Listener
from tests.unit.docs.command_table import commands

pytestmark = pytest.mark.wire

NODES = "nodes:" + "".join(
    f"""
  - name: n{number}
    arch: x86_64
    vcpus: 2
    memory_mib: 1024
    disk_mib: 4096
    ports: [{{mac: "52:54:00:00:00:0{number}"}}]
    power: {{driver: fake}}
"""
    for number in (1, 2)
)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me"

ORDERS = {
    ("instance", "create"): ("web", "--image", "root"),
    ("instance", "stop"): ("web",),
    ("instance", "start"): ("web",),
    ("instance", "reboot"): ("web",),
    ("image", "register"): ("root", "--kind", "root", "--url", "http://127.0.0.1/root"),
    ("node", "enroll"): ("-f", "nodes.yaml"),
    ("node", "power"): ("n1", "on"),
    ("node", "clean"): ("n1",),
    ("node", "verify"): ("n1",),
    ("flavor", "create"): ("big",),
    ("key", "add"): ("me", "--file", "me.pub"),
    ("tenant", "create"): ("red",),
    ("user", "create"): ("ann",),
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nodes.yaml").write_text(NODES)
    (tmp_path / "me.pub").write_text(KEY)
    monkeypatch.chdir(tmp_path)


def test_the_commands_that_take_a_key_are_known() -> None:
    found = {
        words
        for words, command in commands(typer.main.get_command(app))
        if any("--idempotency-key" in option.opts for option in command.params)
    }
    assert found == set(ORDERS)


@pytest.mark.parametrize("words", ORDERS, ids=" ".join)
def test_an_order_goes_by_the_key_that_is_given(listener: Listener, words: tuple[str, ...]) -> None:
    listener.run(*words, *ORDERS[words], "--idempotency-key", "mine", exit_code=1)
    keys = ["mine/n1", "mine/n2"] if words == ("node", "enroll") else ["mine"]
    assert listener.keys == keys


def test_nodes_of_one_file_have_a_key_each(listener: Listener) -> None:
    listener.run("node", "enroll", "-f", "nodes.yaml", exit_code=1)
    first, second = (key.split("/") for key in listener.keys if key)
    assert first[0] == second[0] and (first[1], second[1]) == ("n1", "n2")


def test_a_long_key_leaves_room_for_the_names_of_nodes(listener: Listener) -> None:
    for _ in range(2):
        listener.run("node", "enroll", "-f", "nodes.yaml", "--idempotency-key", "x" * 199, exit_code=1)
    first, second, *again = filter(None, listener.keys)
    assert first != second and again == [first, second]
    assert max(map(len, (first, second))) <= MAX_KEY_LETTERS == MAX_KEY_BYTES


@pytest.mark.parametrize("key", ["", "a b", "ü", "x" * 201])
def test_a_key_that_is_none_is_refused_before_anything_is_asked(listener: Listener, key: str) -> None:
    listener.run("tenant", "create", "red", "--idempotency-key", key, exit_code=1)
    assert listener.asked == []
