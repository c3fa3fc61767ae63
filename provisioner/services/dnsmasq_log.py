"""What dnsmasq says in its log, as events."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass, field

from provisioner.protocols.clock import Clock
from provisioner.protocols.events import EventSink, WireEvent
from provisioner.services.quota import Quota

STRANGER_EVERY_S = 60.0
"""A machine that nobody enrolled shows up this often at most: an operator wants to see its MAC address."""

MAX_EXCHANGES = 1000

# With log-dhcp each line carries the number of the client's exchange (its xid).
_MESSAGE = re.compile(
    r"dnsmasq-dhcp(?:\[\d+\])?: (?P<xid>\d+) DHCP(?P<verb>[A-Z]+)\((?P<interface>[^)]*)\) "
    r"(?:(?P<address>\d+\.\d+\.\d+\.\d+) )?(?P<mac>(?:[0-9a-f]{2}:){5}[0-9a-f]{2})(?: (?P<rest>.*))?$"
)
_BOOTP = re.compile(
    r"dnsmasq-dhcp(?:\[\d+\])?: \d+ BOOTP\([^)]*\) "
    r"(?:(?P<address>\d+\.\d+\.\d+\.\d+) )?(?P<mac>(?:[0-9a-f]{2}:){5}[0-9a-f]{2})(?: (?P<refusal>.*))?$"
)
_CLIENT = re.compile(r"dnsmasq-dhcp(?:\[\d+\])?: (?P<xid>\d+) (?P<what>vendor|user) class: (?P<value>.*)$")

_NAMES = {
    "DISCOVER": "dhcp.discover",
    "OFFER": "dhcp.offer",
    "REQUEST": "dhcp.request",
    "ACK": "dhcp.ack",
    "NAK": "dhcp.nak",
    "DECLINE": "dhcp.decline",
}

_WORDS = {
    "dhcp.discover": "asks for an address",
    "dhcp.offer": "is offered {address}",
    "dhcp.request": "wants {address}",
    "dhcp.ack": "has {address}",
    "dhcp.nak": "is refused {address}",
    "dhcp.decline": "declines {address}: another machine seems to use it",
}


@dataclass(slots=True)
class _Exchange:
    """What a client said of itself in one exchange."""

    said: dict[str, str] = field(default_factory=dict)

    def client(self) -> str:
        """iPXE, or what its firmware or system calls itself."""
        return self.said.get("user") or self.said.get("vendor", "")


class DnsmasqLog:
    """Takes dnsmasq's log line by line. The lines themselves may hold boot URLs: they are never passed on."""

    def __init__(self, sink: EventSink, clock: Clock) -> None:
        self._sink = sink
        self._strangers = Quota(clock, every_s=STRANGER_EVERY_S)
        self._exchanges: OrderedDict[str, _Exchange] = OrderedDict()

    def line(self, line: str) -> None:
        if client := _CLIENT.search(line):
            self._exchange(client["xid"]).said[client["what"]] = client["value"][:80]
        elif message := _MESSAGE.search(line):
            self._message(message)
        elif bootp := _BOOTP.search(line):
            self._bootp(bootp)

    def _exchange(self, xid: str) -> _Exchange:
        exchange = self._exchanges.setdefault(xid, _Exchange())
        if len(self._exchanges) > MAX_EXCHANGES:
            self._exchanges.popitem(last=False)
        return exchange

    def _message(self, message: re.Match[str]) -> None:
        name = _NAMES.get(message["verb"])
        if name is None:
            return
        mac, address, rest = message["mac"], message["address"] or "", message["rest"] or ""
        client = self._exchange(message["xid"]).client()
        detail: dict[str, object] = {"client": client}
        if address:
            detail["address"] = address
        words = _WORDS[name].format(address=address)
        if "ignored" in rest:
            if not self._strangers.admits(mac):
                return
            detail["ignored"] = True
            words += ", and gets none: no node is enrolled with it"
        elif rest and name != "dhcp.ack":  # after an acknowledgement comes the host name
            detail["note"] = rest[:80]
        text = f"{mac} {words}" + (f" ({client})" if client else "")
        self._sink(WireEvent(source="dhcp", name=name, mac=mac, text=text, detail=detail))

    def _bootp(self, message: re.Match[str]) -> None:
        """RFC 951: a question and an answer, told in one line once it is answered, or refused."""
        mac, address = message["mac"], message["address"] or ""
        detail: dict[str, object] = {"client": "BOOTP"}
        asks = f"{mac} {_WORDS['dhcp.discover']} by BOOTP"
        if message["refusal"]:
            if self._strangers.admits(mac):
                detail["ignored"] = True
                asks += f", and gets none: {message['refusal'][:80]}"
                self._sink(WireEvent(source="dhcp", name="dhcp.discover", mac=mac, text=asks, detail=detail))
            return
        detail["address"] = address
        self._sink(WireEvent(source="dhcp", name="dhcp.discover", mac=mac, text=asks, detail=detail))
        has = f"{mac} {_WORDS['dhcp.ack'].format(address=address)} by BOOTP"
        self._sink(WireEvent(source="dhcp", name="dhcp.ack", mac=mac, text=has, detail=detail))
