"""In which order services are told, and what becomes of the others when one fails or is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from provisioner.core.errors import ProvisionerError, StorageFull, TransientError
from provisioner.drivers.ipxe import dialect
from provisioner.drivers.offer_publisher import OfferPublisher
from provisioner.protocols.netboot import Offer
from tests.unit.drivers.test_ipxe import BASE, ENTRY, LOADERS


class Place:
    """A service that tells in which order it was called. error: what its withdrawal raises; waits: without
    end, as a daemon that doesn't read its files."""

    def __init__(
        self, name: str, told: list[str], *, error: ProvisionerError | None = None, waits: bool = False
    ) -> None:
        self._name = name
        self._told = told
        self._error = error
        self._waits = waits

    async def offer(self, offer: Offer) -> None:
        self._told.append(f"{self._name} offers")

    async def withdraw(self, node_id: str) -> None:
        self._told.append(f"{self._name} withdraws")
        if self._waits:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error

    def roots(self) -> Mapping[str, str]:
        return {}


def publisher(*services: Place, nfs: Place | None = None) -> OfferPublisher:
    return OfferPublisher(services, {"ipxe": dialect(BASE, LOADERS)}, nfs=nfs)


def test_what_dhcp_names_is_there_before_dhcp_names_it() -> None:
    told: list[str] = []
    asyncio.run(publisher(Place("http", told), Place("dhcp", told), nfs=Place("nfs", told)).publish(ENTRY))
    assert told == ["nfs offers", "http offers", "dhcp offers"]


def test_what_ends_at_once_is_withdrawn_before_a_daemon_is_waited_for_that_may_outlast_the_time_for_it() -> (
    None
):
    told: list[str] = []
    services = [Place("http", told), Place("tftp", told), Place("dhcp", told, waits=True)]

    async def story() -> None:
        withdrawal = publisher(*services, nfs=Place("nfs", told)).withdraw("id-1", root=False)
        withdrawing = asyncio.create_task(withdrawal)
        while "dhcp withdraws" not in told:
            await asyncio.sleep(0)
        withdrawing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await withdrawing

    asyncio.run(story())
    assert told == ["http withdraws", "tftp withdraws", "dhcp withdraws"]


def test_a_node_that_is_another_s_next_hears_nothing_rather_than_of_files_that_are_gone() -> None:
    told: list[str] = []
    services = [Place("http", told), Place("dhcp", told)]
    asyncio.run(publisher(*services, nfs=Place("nfs", told)).withdraw("id-1"))
    assert told == ["dhcp withdraws", "http withdraws", "nfs withdraws"]


def test_all_services_are_withdrawn_from_though_some_fail_and_the_first_failure_is_told() -> None:
    told: list[str] = []
    dhcp = Place("dhcp", told, error=TransientError("have dnsmasq read its files", answer="not read"))
    nfs = Place("nfs", told, error=StorageFull("write ganesha.conf", answer="no space"))
    with pytest.raises(TransientError, match="have dnsmasq read its files"):
        asyncio.run(publisher(Place("http", told), dhcp, Place("tftp", told), nfs=nfs).withdraw("id-1"))
    assert told == ["tftp withdraws", "dhcp withdraws", "http withdraws", "nfs withdraws"]
