"""What a device says ends nothing but what it was asked for, whatever a store thinks of it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from provisioner.compute.evidence import Evidence
from provisioner.compute.operator_requests import UNTOLD
from provisioner.core import readable
from provisioner.core.model import NodeRequest, RequestState, TimelineEvent
from provisioner.drivers.outlet_command import CommandDevices
from provisioner.protocols.events import WireEvent
from provisioner.protocols.power import PowerControl
from provisioner.protocols.store import Store, Tx
from provisioner.services.children import SystemChildren
from provisioner.services.system import SystemClock
from tests.contract.store.conftest import Stores
from tests.unit import records
from tests.unit.compute.fake_world import FakeWorld


def answer(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """To an operator's request whose device complains in what is no text. Its host lives."""
    program = tmp_path / "switch"
    program.write_text(r"#!/bin/sh" "\n" r"printf 'sw\0itch is lo\033st\n' >&2; exit 1" "\n")
    program.chmod(0o755)

    def power(world: FakeWorld, name: str) -> PowerControl:
        devices = CommandDevices(SystemChildren(), {"pdu": program}, discharge_s=0, timeout_s=45)
        return devices(name, {"command": "pdu", "address": "pdu1", "outlets": [1]}, {})

    monkeypatch.setattr(FakeWorld, "_power", power)

    async def story(store: Store) -> NodeRequest | None:
        world = FakeWorld(tmp_path)
        world.store = store  # type: ignore[assignment]

        def ask(tx: Tx) -> None:
            at = tx.now()
            tx.insert(records.node(owner=None))
            tx.insert(
                NodeRequest(id="r", node_id="node-1", verb="power:refresh", created_at=at, updated_at=at)
            )

        await store.transact(ask)

        async def answered() -> bool:
            found = await store.transact(lambda tx: tx.get(NodeRequest, "r"))
            return found is not None and found.state is not RequestState.PENDING

        world.start()
        try:
            await world.until("the request is answered", answered)
            assert "host" in world.hosts, "the host has ended"
        finally:
            await world.end()
        return await store.transact(lambda tx: tx.get(NodeRequest, "r"))

    request = stores.play(story)
    assert request is not None and request.state is RequestState.FAILED
    return request.answer


def test_of_a_device_s_last_words_what_is_no_text_is_replaced(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "sw\N{REPLACEMENT CHARACTER}itch is lo\N{REPLACEMENT CHARACTER}st"
    assert said in answer(stores, tmp_path, monkeypatch)


def test_a_request_is_answered_in_other_words_when_the_store_refuses_those(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readable, "_NO_TEXT", re.compile("(?!)"))
    said = UNTOLD if stores.kind == "postgresql" else "sw\0itch"  # the others store any text
    assert said in answer(stores, tmp_path, monkeypatch)


SAID = {"boot_id": "\ud800\0b", "version": "\x1b[2J", "of": [{"a": "\udfff"}], "port": 9999}
"""Halves of surrogate pairs, a NUL, and what clears a terminal: JSON may have them all."""


def test_what_a_node_says_of_itself_ends_no_host(stores: Stores) -> None:
    async def story(store: Store) -> TimelineEvent:
        await store.transact(lambda tx: tx.insert(records.node()))
        evidence = Evidence(store, SystemClock())
        recording = asyncio.create_task(evidence.record())
        try:
            said = WireEvent(source="agent", name="agent.hello", node_id="node-1", text="\ud800", detail=SAID)
            evidence(said)
            while not (found := await store.transact(lambda tx: tx.find(TimelineEvent))):
                assert not recording.done(), "nothing is recorded any more"
                await asyncio.sleep(0.01)
            return found[0]
        finally:
            recording.cancel()
            await asyncio.wait([recording])

    event, strange = stores.play(story), "\N{REPLACEMENT CHARACTER}"
    assert event.text == strange
    assert event.detail == {
        "boot_id": f"{strange}{strange}b",
        "version": f"{strange}[2J",
        "of": [{"a": strange}],
        "port": 9999,
    }
