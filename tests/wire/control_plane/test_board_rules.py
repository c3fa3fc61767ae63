"""A tenant's packet filter, applied by real iptables in a namespace of its own."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

import pytest

from provisioner.core.board_rules import commands_of, rules_of
from provisioner.core.errors import InvalidInput

HOST = "10.77.0.10"
FIRST = {"INPUT": f"-A INPUT -s {HOST}/32 -j ACCEPT", "OUTPUT": f"-A OUTPUT -d {HOST}/32 -j ACCEPT"}
TABLES = ("raw", "mangle", "nat")


def applied(commands: Sequence[Sequence[str]]) -> str:
    """What stands in all tables afterwards. What a board refuses, it goes on without."""
    look = [["iptables", *("-t", table), "-S"] for table in TABLES]
    words = (*commands, ["iptables", "-S"], *look)
    argv = ["unshare", "--net", "sh", "-c", "\n".join(shlex.join(one) for one in words)]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def commands(rules: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Raises InvalidInput."""
    return commands_of(rules_of("\n".join(("#iptables", *rules))), HOST)


@pytest.mark.parametrize(
    "rules",
    [
        ["-I INPUT 0 -j DROP"],
        ["-I OUTPUT 00 -j DROP"],
        ["-I INPUT 0x0 -j DROP"],
        ["-A INPUT -t mangle -j DROP"],
        ["-A INPUT -j DROP --tab mangle"],
        ["-A OUTPUT --t raw -j DROP"],
    ],
)
def test_rules_that_would_come_before_the_compute_hosts_are_refused(rules: list[str]) -> None:
    with pytest.raises(InvalidInput):
        commands(rules)


@pytest.mark.parametrize(
    "rules",
    [
        ["-I INPUT -j DROP", "-I OUTPUT -j DROP"],
        ["-I INPUT 1 -j DROP", "-I INPUT 1 -s 10.0.0.1,10.0.0.2 -j DROP", "-I INPUT 3 -j REJECT"],
        ["-I INPUT 9 -j DROP", "-A INPUT -j DROP", "-I INPUT ! -s 10.0.0.5 -j DROP"],
        ["-A INPUT -j DROP -P INPUT DROP", "-A INPUT -j DROP -F", "-A OUTPUT -j DROP --insert OUTPUT"],
    ],
)
def test_whatever_rules_are_taken_the_compute_host_is_let_in_before_them(rules: list[str]) -> None:
    twice = (*commands(rules), *commands(rules))  # a step may be entered twice
    stands = applied(twice).splitlines()
    for chain in {rule.split()[1] for rule in rules}:
        assert next(line for line in stands if line.startswith(f"-A {chain}")) == FIRST[chain]
    filtered = applied(()).splitlines()
    assert [line for line in stands if line.startswith("-P")] == [
        line for line in filtered if line.startswith("-P")
    ]
    tables_begin = stands.index("-P PREROUTING ACCEPT")
    assert not [line for line in stands[tables_begin:] if line.startswith("-A")]
