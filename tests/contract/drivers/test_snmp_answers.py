"""What SNMP agents answer that was not asked for: which outlet is told is told by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto import api

from provisioner.core.errors import DeviceRefused
from provisioner.core.outlets import told
from provisioner.core.pdus.family import Oid
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.snmp_messages import PysnmpMessages
from provisioner.protocols.power import Feeds

pytestmark = [pytest.mark.wire, pytest.mark.usefixtures("unhurried")]
DEADLINE_S = 60.0
V2C = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
ON, OFF = 1, 2

Answer = list[tuple[Oid, int]]


class Agent(asyncio.DatagramProtocol):
    """Outlet 1 is on, all others are off. change: what becomes of an answer."""

    def __init__(self, change: Callable[[Answer], Answer]) -> None:
        self._change = change

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: Any) -> None:
        request, _ = decoder.decode(data, asn1Spec=V2C.Message())
        asked = [tuple(name) for name, _ in V2C.apiPDU.get_varbinds(V2C.apiMessage.get_pdu(request))]
        answer = V2C.apiMessage.get_response(request)
        told = self._change([(name, ON if name[-1] == 1 else OFF) for name in asked])
        binds = [(V2C.ObjectIdentifier(name), V2C.Integer(value)) for name, value in told]
        V2C.apiPDU.set_varbinds(V2C.apiMessage.get_pdu(answer), binds)
        self._transport.sendto(encoder.encode(answer), peer)


def asked(
    outlets: Sequence[int], change: Callable[[Answer], Answer], host: str = "127.0.0.1", called: str = ""
) -> tuple[PowerState, str]:
    async def story() -> tuple[PowerState, str]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Agent(change), local_addr=(host, 0))
        messages = PysnmpMessages()
        try:
            port = transport.get_extra_info("sockname")[1]
            address = {
                "address": called or host,
                "port": port,
                "family": "apc_rackpdu",
                "outlets": list(outlets),
            }
            control = SnmpDevices(messages, discharge_s=1)("n1", address, {"community": "open-sesame"})
            async with asyncio.timeout(DEADLINE_S):
                state = await control.power_state()
            assert isinstance(control, Feeds)
            return state, told(control.last_seen())
        finally:
            messages.close()
            transport.close()

    return asyncio.run(story())


def test_answers_in_another_order_are_told_apart_by_their_names() -> None:
    told = asked((1, 2), lambda answer: answer[::-1])
    assert told == (PowerState.UNKNOWN, "outlet 1 on, outlet 2 off")


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer[:1],
        lambda answer: [],
        lambda answer: [((*name[:-1], name[-1] + 1), value) for name, value in answer],
    ],
    ids=["half of it", "nothing", "of the next outlet"],
)
def test_an_answer_that_leaves_an_outlet_out_is_told(change: Callable[[Answer], Answer]) -> None:
    with pytest.raises(DeviceRefused, match=r"its answer leaves 1\.3\.6\.\S+ out"):
        asked((2, 3), change)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_pdu_may_have_an_address_of_either_kind_or_a_name(host: str) -> None:
    bound = "127.0.0.1" if host == "localhost" else host
    assert asked((1,), lambda answer: answer, bound, called=host)[0] is PowerState.ON
