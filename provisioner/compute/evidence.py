"""What the services saw, brought to the node it is about: into the timeline, and to whoever waits."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from provisioner.core.errors import ProvisionerError, TransientError
from provisioner.core.fields import changed
from provisioner.core.model import Node, Port, TimelineEvent
from provisioner.core.readable import all_readable, readable
from provisioner.protocols.clock import Clock
from provisioner.protocols.events import WireEvent
from provisioner.protocols.store import Store, Tx

log = structlog.get_logger(__name__)

MAX_PENDING = 10_000
"""Events waiting to be stored; beyond it the oldest are dropped and counted."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""While the store is away, or its disk is full."""

MAX_REMEMBERED = 200
"""Events kept in memory per node, for diagnosis."""

_UNTIL_STORED = datetime.fromtimestamp(0, UTC)


class Mailbox:
    """What was heard of one node since `forget`."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self.heard: deque[WireEvent] = deque(maxlen=MAX_REMEMBERED)

    def put(self, event: WireEvent) -> None:
        self.heard.append(event)
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    def forget(self) -> None:
        """Called before the power is switched: what was heard before proves nothing about what comes."""
        self.heard.clear()

    def last(self, name: str) -> WireEvent | None:
        return next((event for event in reversed(self.heard) if event.name == name), None)

    async def news(self, timeout_s: float) -> None:
        """Returns at the next news, or after `timeout_s`; at once if there were some since the last call."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self._news.clear()


class Evidence:
    """The sink of all services of a compute host (`protocols.events.EventSink`)."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._by_mac: dict[str, str] = {}
        self._by_address: dict[str, str] = {}
        self._keys: dict[str, tuple[Port, ...]] = {}
        self._instances: dict[str, str | None] = {}
        self._mailboxes: dict[str, Mailbox] = {}
        self._pending: deque[TimelineEvent] = deque(maxlen=MAX_PENDING)
        self._work = asyncio.Event()

    def know(self, node: Node, ports: Iterable[Port]) -> None:
        """From now on events with these MACs and addresses are this node's."""
        self._keys[node.id] = tuple(ports)
        for port in self._keys[node.id]:
            self._by_mac[port.id] = node.id
            self._by_address[port.address] = node.id
        self._instances[node.id] = node.instance_id

    def forget(self, node_id: str) -> None:
        for port in self._keys.pop(node_id, ()):
            for index, key in ((self._by_mac, port.id), (self._by_address, port.address)):
                if index.get(key) == node_id:
                    del index[key]
        self._instances.pop(node_id, None)
        self._mailboxes.pop(node_id, None)

    def on_instance(self, node_id: str, instance_id: str | None) -> None:
        self._instances[node_id] = instance_id

    def mailbox(self, node_id: str) -> Mailbox:
        return self._mailboxes.setdefault(node_id, Mailbox())

    def wake(self, node_id: str) -> None:
        """Has whoever waits for this node look again."""
        if node_id in self._mailboxes:
            self._mailboxes[node_id].wake()

    def __call__(self, event: WireEvent) -> None:
        node_id = event.node_id or self._by_mac.get(event.mac) or self._by_address.get(event.address)
        if node_id is None:
            log.info("event.of_unknown_node", event_name=event.name, mac=event.mac, address=event.address)
            return
        # Nodes say what they like, and one whose words the store refuses would take its host with it.
        event = replace(event, text=readable(event.text), detail=all_readable(event.detail))
        self.mailbox(node_id).put(event)
        self._pending.append(
            TimelineEvent(
                node_id=node_id,
                instance_id=self._instances.get(node_id),
                at=_UNTIL_STORED,
                source=event.source,
                name=event.name,
                text=event.text,
                detail=event.detail,
            )
        )
        self._work.set()

    async def record(self) -> None:
        """Stores what was heard, in batches, until cancelled; what is left then, the next time."""
        pause_s = FIRST_PAUSE_S
        while True:
            await self._work.wait()
            self._work.clear()
            batch = [self._pending.popleft() for _ in range(len(self._pending))]
            if not batch:
                continue
            try:
                await self._store.transact(lambda tx, batch=batch: _append(tx, batch))  # type: ignore[misc]
                pause_s = FIRST_PAUSE_S
            except asyncio.CancelledError:
                # It may be stored all the same: better told twice than not at all.
                self._put_back(batch)
                raise
            except TransientError as error:
                lost = self._put_back(batch)
                log.warning(
                    "timeline.waits_for_store", events=len(self._pending), lost=lost, error=str(error)
                )
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except ProvisionerError as error:
                # The timeline is evidence for people; losing a line must not stop a deploy.
                log.warning("timeline.lost", events=len(batch), error=str(error))
            except Exception:  # noqa: BLE001 - nor may it end the host
                log.error("timeline.lost", events=len(batch), trace=traceback.format_exc())

    def _put_back(self, batch: list[TimelineEvent]) -> int:
        """Before what came meanwhile. Returns for how many, the oldest, there was no room."""
        lost = max(0, len(batch) + len(self._pending) - MAX_PENDING)
        self._pending.extendleft(reversed(batch[lost:]))
        self._work.set()
        return lost


def _append(tx: Tx, batch: list[TimelineEvent]) -> None:
    now = tx.now()
    tx.insert(*(changed(event, at=now) for event in batch))
    tx.notify("events", *dict.fromkeys(f"node:{event.node_id}" for event in batch))
