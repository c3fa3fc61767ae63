from __future__ import annotations

from ipaddress import ip_network
from typing import Literal

import pytest

from provisioner.core.public_address import AddressPolicy

INSIDE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::10.0.0.1",
    "2002:7f00:1::",
    "not-an-address",
    "",
]


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_not_of_the_internet_is_not_allowed(address: str) -> None:
    assert not AddressPolicy().allows(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_what_is_of_the_internet_is_allowed_unless_it_is_named(address: str) -> None:
    assert AddressPolicy().allows(address)
    assert not AddressPolicy(members="none").allows(address)
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert not AddressPolicy(never=everything).allows(address)


def test_a_network_of_ours_is_allowed_once_it_is_named() -> None:
    policy = AddressPolicy(also=(ip_network("10.9.0.0/24"),), never=(ip_network("10.0.0.0/8"),))
    assert policy.allows("10.9.0.7") and policy.allows("::ffff:10.9.0.7")
    assert not policy.allows("10.9.1.7")
    assert AddressPolicy(members="none", also=policy.also).allows("10.9.0.7")


@pytest.mark.parametrize("members", ["public", "any", "none"])
@pytest.mark.parametrize(
    ("also", "never", "allowed"),
    [
        ("10.0.0.0/8", "10.78.0.0/16", False),
        ("10.78.0.0/24", "10.78.0.0/16", True),
        ("10.78.0.0/16", "10.78.0.0/16", False),
        ("0.0.0.0/0", "10.78.0.0/16", False),
    ],
)
def test_the_smallest_network_that_is_named_decides(
    members: Literal["public", "any", "none"], also: str, never: str, allowed: bool
) -> None:
    policy = AddressPolicy(members=members, also=(ip_network(also),), never=(ip_network(never),))
    for address in ("10.78.0.101", "::ffff:10.78.0.101", "64:ff9b::10.78.0.101"):
        assert policy.allows(address) is allowed


def test_what_is_named_is_refused_where_anything_else_goes() -> None:
    policy = AddressPolicy(members="any", never=(ip_network("10.78.0.0/16"),))
    assert not policy.allows("10.78.0.101")
    assert policy.allows("10.79.0.101")


def test_anything_goes_where_the_operator_says_so() -> None:
    assert AddressPolicy(members="any").allows("127.0.0.1")
