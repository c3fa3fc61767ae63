"""The command line of tile-monitor, which is its contract."""

from __future__ import annotations

import pytest

from bmsim.tile_monitor import Order, WrongUse, parsed


def test_commands_stand_between_the_word_after_run_and_its_like() -> None:
    line = "--resume --net 10.0.0.5 --run - ifconfig xgbe0 10.0.0.5 - --wait --run - sshd - --wait --quit"
    assert parsed(line.split()) == Order("10.0.0.5", (("ifconfig", "xgbe0", "10.0.0.5"), ("sshd",)))


def test_all_after_two_dashes_is_one_command() -> None:
    line = "--resume --net 10.0.0.5 -- dmesg -c"
    assert parsed(line.split()) == Order("10.0.0.5", (("dmesg", "-c"),))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--net 10.0.0.5 -- dmesg", "--resume"),
        ("--resume -- dmesg", "--net ADDRESS"),
        ("--resume --net", "--net lacks"),
        ("--resume --net 10.0.0.5 --run - sshd --wait --quit", "has no - at its end"),
        ("--resume --net 10.0.0.5 --run - sshd - --wait", "--quit"),
        ("--resume --net 10.0.0.5 --quit", "COMMAND"),
        ("--resume --net 10.0.0.5 --", "COMMAND"),
        ("--resume --net 10.0.0.5 --tile 4x4 -- dmesg", "--tile isn't understood"),
    ],
)
def test_what_it_does_not_know_is_refused_by_name(line: str, told: str) -> None:
    with pytest.raises(WrongUse, match=told):
        parsed(line.split())
