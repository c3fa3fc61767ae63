"""User data that asks for a packet filter."""

from __future__ import annotations

import pytest

from provisioner.core.board_rules import check_user_data, commands_of, rules_of
from provisioner.core.errors import InvalidInput


def test_user_data_of_another_kind_asks_for_no_rules() -> None:
    assert rules_of("") == rules_of("#cloud-config\n{}\n") == ()


def test_chains_are_emptied_before_their_rules_so_that_they_may_be_run_twice() -> None:
    lines = (
        "# only from the office",
        "-A INPUT -s 10.0.0.0/8 -j ACCEPT",
        "",
        "-I OUTPUT -p tcp --dport 25 -j DROP",
    )
    assert commands_of(rules_of("\n".join(("#iptables", *lines))), "10.77.0.10") == (
        ("iptables", "-F", "INPUT"),
        ("iptables", "-F", "OUTPUT"),
        ("iptables", "-I", "INPUT", "-s", "10.77.0.10", "-j", "ACCEPT"),
        ("iptables", "-I", "OUTPUT", "-d", "10.77.0.10", "-j", "ACCEPT"),
        ("iptables", "-A", "INPUT", "-s", "10.0.0.0/8", "-j", "ACCEPT"),
        ("iptables", "-I", "OUTPUT", "2", "-p", "tcp", "--dport", "25", "-j", "DROP"),
    )


@pytest.mark.parametrize(
    ("rule", "becomes"),
    [
        ("-I INPUT -j DROP", "-I INPUT 2 -j DROP"),
        ("-I INPUT 3 -j DROP", "-I INPUT 4 -j DROP"),
        ("-I INPUT 1 -j DROP", "-I INPUT 2 -j DROP"),
        ("-I INPUT ! -s 10.0.0.5 -j DROP", "-I INPUT 2 ! -s 10.0.0.5 -j DROP"),
        ("-I OUTPUT 9999 -j DROP", "-I OUTPUT 10000 -j DROP"),
        ("-I FORWARD -j DROP", "-I FORWARD -j DROP"),
        ("-A OUTPUT -j DROP", "-A OUTPUT -j DROP"),
    ],
)
def test_no_rule_comes_before_the_one_that_lets_the_compute_host_in(rule: str, becomes: str) -> None:
    *_, last = commands_of(rules_of(f"#iptables\n{rule}\n"), "10.77.0.10")
    assert " ".join(last) == f"iptables {becomes}"


TABLES = ("-t", "--table", "--tabl", "--tab", "--ta", "--t")


@pytest.mark.parametrize("option", TABLES)
@pytest.mark.parametrize("rule", ["-A INPUT {} mangle -j DROP", "-I OUTPUT 1 -p tcp -j DROP {} raw"])
def test_no_rule_stands_in_another_table_which_would_drop_packets_before_that_one(
    rule: str, option: str
) -> None:
    written = rule.format(option)
    with pytest.raises(InvalidInput, match="before it") as refused:
        rules_of(f"#iptables\n-A INPUT -j ACCEPT\n{written}\n")
    assert f"{written!r} names a table" in refused.value.message


@pytest.mark.parametrize("place", ["0", "00", "01", "010", "0x1", "1a", "10000", "9" * 5000, "1.5", "DROP"])
def test_what_is_no_place_in_a_chain_is_refused_before_a_board_boots(place: str) -> None:
    for chain in ("INPUT", "OUTPUT", "FORWARD"):
        with pytest.raises(InvalidInput, match="is no place in a chain"):
            rules_of(f"#iptables\n-I {chain} {place} -j DROP\n")
    with pytest.raises(InvalidInput, match="is no place in a chain"):
        rules_of("#iptables\n-A INPUT 1 -j DROP\n")


def test_options_that_only_begin_like_a_table_are_taken() -> None:
    rule = "-A INPUT -p tcp --tcp-flags SYN,RST SYN -m tos --tos 4 -m ttl --ttl-lt 5 -j DROP"
    assert rules_of(f"#iptables\n{rule}\n") == (tuple(rule.split()),)


def test_only_boards_are_given_rules_by_user_data() -> None:
    wrong = "#iptables\n-F INPUT\n"
    check_user_data("x86_64", wrong)
    with pytest.raises(InvalidInput):
        check_user_data("tilepro64", wrong)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("-A INPUT - -j DROP", "'-' can't stand"),
        ("-A INPUT -j $(reboot)", "can't stand"),
        ("-A INPUT -s 10.0.0.5; reboot", "can't stand"),
        ("-A INPUT -tmangle -j DROP", "'-tmangle' can't stand"),
        ("-A INPUT --table=mangle -j DROP", "'--table=mangle' can't stand"),
        ("-t mangle -A INPUT -j DROP", "adds to none of the chains"),
        ("-A INPUT -s 10.0.0.9 -h", "with -h it makes no rule"),
        ("-A INPUT -V", "with -V it makes no rule"),
        ("-A INPUT --modp sh -j DROP", "with --modp it makes no rule"),
        ("-N INPUT", "adds to none of the chains"),
        ("--insert INPUT -j DROP", "adds to none of the chains"),
        ("-P INPUT DROP", "adds to none of the chains"),
        ("-F INPUT", "adds to none of the chains"),
        ("-A", "adds to none of the chains"),
        ("-A PREROUTING -j DROP", "adds to none of the chains"),
        ("\n".join(["-A INPUT -j DROP"] * 65), "65 rules are more than 64"),
    ],
)
def test_what_is_no_rule_is_refused_by_its_words(rule: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        rules_of(f"#iptables\n{rule}\n")
    assert told in refused.value.message
    assert refused.value.field == "user_data"
