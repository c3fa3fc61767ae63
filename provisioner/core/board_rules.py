"""The packet filter that an instance's owner asks for on a board without cloud-init, in the user data:

#iptables
-A INPUT -p tcp ! -s 10.0.0.5 --dport 22 -j DROP
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from provisioner.core.errors import InvalidInput

MARK = "#iptables"
MOST = 64
MOST_SHOWN = 80  # letters of what is refused: user data may have one word of 16 KiB
CHAINS = ("INPUT", "OUTPUT", "FORWARD")
PEER = {"INPUT": "-s", "OUTPUT": "-d"}
"""How the other end is named in a chain. What is forwarded is neither from the board nor for it."""

_WORD = re.compile(r"[A-Za-z0-9!][A-Za-z0-9_.,:/-]*|-[A-Za-z]|--[a-z][a-z0-9-]*")
"""No shell's character, and no word that is a dash: tile-monitor ends a command by that."""

_PLACE = re.compile(r"[1-9][0-9]{0,3}")
"""Of a rule that is inserted. iptables itself refuses 0, and takes 010 for 8, 0x2 for 2."""


def rules_of(user_data: str) -> tuple[tuple[str, ...], ...]:
    """What stands after `iptables`, rule by rule; none, when the user data is something else. Raises
    InvalidInput."""
    first, *lines = user_data.splitlines() or [""]
    if first.strip() != MARK:
        return ()
    rules = tuple(tuple(line.split()) for line in lines if line.strip() and not line.startswith("#"))
    if len(rules) > MOST:
        raise _refused(f"{len(rules)} rules are more than {MOST}")
    for rule in rules:
        if len(rule) < 2 or rule[0] not in ("-A", "-I") or rule[1] not in CHAINS:
            raise _refused(f"{_shown(' '.join(rule))} adds to none of the chains {', '.join(CHAINS)}")
        for word in rule:
            if not _WORD.fullmatch(word):
                raise _refused(f"{_shown(word)} can't stand in a rule")
            if _does_something_else(word):
                raise _refused(f"{_shown(' '.join(rule))}: with {word} it makes no rule")
            if _names_a_table(word):
                raise _refused(
                    f"{_shown(' '.join(rule))} names a table: rules stand in `filter`, behind the one that "
                    "lets the compute host in, and other tables drop packets before it"
                )
        if (place := _place(rule)) and (rule[0] == "-A" or not _PLACE.fullmatch(place)):
            raise _refused(
                f"{_shown(' '.join(rule))}: {_shown(place)} is no place in a chain: -I takes 1, 2, …"
            )
    return rules


def _does_something_else(word: str) -> bool:
    """Asks for help or the version, and no rule is made; or names a program to be run."""
    others = ("--help", "--version", "--modprobe")
    return word in ("-h", "-V", "-M") or (len(word) > 2 and any(other.startswith(word) for other in others))


def _names_a_table(word: str) -> bool:
    """Wherever it stands; and abbreviated, as getopt_long takes it. That its value would stand in the same
    word (-tmangle, --table=mangle) no _WORD allows."""
    return word == "-t" or (len(word) > 2 and "--table".startswith(word))


def _place(rule: tuple[str, ...]) -> str:
    """What iptables takes for a rule's number: what follows the chain and begins neither an option nor its
    negation; empty: there is none."""
    return rule[2] if len(rule) > 2 and rule[2][0] not in "-!" else ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…")


def check_user_data(arch: str, user_data: str) -> None:
    """When it is asked for, and not when the board has booted. Raises InvalidInput."""
    if arch == "tilepro64":
        rules_of(user_data)


def commands_of(rules: tuple[tuple[str, ...], ...], host: str) -> tuple[tuple[str, ...], ...]:
    """The chains are emptied first: so they may be run twice. host: the address of the compute host, which
    has the board's root and gives it the next command: no rule applies to it, so it comes first in them."""
    chains = dict.fromkeys(rule[1] for rule in rules)
    return (
        *(("iptables", "-F", chain) for chain in chains),
        *(("iptables", "-I", chain, PEER[chain], host, "-j", "ACCEPT") for chain in chains if chain in PEER),
        *(("iptables", *_behind_the_host(rule)) for rule in rules),
    )


def looks_of(rules: tuple[tuple[str, ...], ...]) -> Mapping[str, tuple[str, ...]]:
    """The command that lists each chain which the rules are in, by its name."""
    return {rule[1]: ("iptables", "-n", "-L", rule[1]) for rule in rules}


def stand_in(chain: str, rules: tuple[tuple[str, ...], ...]) -> int:
    """How many rules are in a chain once all are there, with the compute host's own."""
    return sum(rule[1] == chain for rule in rules) + (chain in PEER)


def listed(said: str) -> int:
    """Rules in iptables' list of a chain: a line each, behind the chain's and the columns' names."""
    return max(0, sum(bool(line.strip()) for line in said.splitlines()) - 2)


def _behind_the_host(rule: tuple[str, ...]) -> tuple[str, ...]:
    """Where it would be, were the host's not before it. What is inserted without a number is the first."""
    kind, chain, *rest = rule
    if kind != "-I" or chain not in PEER:
        return rule
    place = _place(rule)
    return kind, chain, str(int(place or "1") + 1), *(rest[1:] if place else rest)


def _refused(answer: str) -> InvalidInput:
    return InvalidInput(
        "take the user data for a packet filter",
        field="user_data",
        answer=answer,
        advice=f"After a line {MARK}, each line is what follows `iptables`: -A or -I, a chain, and the rule",
    )
