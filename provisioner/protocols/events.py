from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WireEvent:
    """Something a service saw on the wire. Exactly one of `node_id`, `mac`, `address` need be known.

    source and name as in core.model.TimelineEvent: dhcp.discover, dhcp.ack, tftp.sent, http.sent,
    http.refused, agent.hello, instance.phone_home, …
    """

    source: str
    name: str
    node_id: str = ""
    mac: str = ""
    address: str = ""
    text: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


class EventSink(Protocol):
    """Takes what services see. Never blocks and never raises; safe to call from the event loop only."""

    def __call__(self, event: WireEvent, /) -> None: ...
