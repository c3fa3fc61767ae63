"""What SNMP agents answer that was not asked for: which outlet is told is told by name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pytest
from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto import api

from provisioner.core.errors import DeviceBusy, DeviceRefused
from provisioner.core.outlets import told
from provisioner.core.pdus.family import Oid
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.snmp_messages import PysnmpMessages
from provisioner.protocols.power import Feeds, PowerControl, PowerVerb

pytestmark = [pytest.mark.wire, pytest.mark.usefixtures("unhurried")]
T = TypeVar("T")
DEADLINE_S = 60.0
V2C = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
ON, OFF = 1, 2
FOR_NOW = {
    "genErr": "check power.family",
    "resourceUnavailable": "restart the PDU's network card",
    "inconsistentValue": "locks the outlet",
    "commitFailed": "look at the outlet",
    "undoFailed": "look at the outlet",
    "tooBig": "power.feeds",
}
"""What an agent can't do now, and may do later (RFC 3416 §4.2.5), and what is advised."""

Answer = list[tuple[Oid, int]]


class Agent(asyncio.DatagramProtocol):
    """Outlet 1 is on, all others are off. change: what becomes of an answer. status: its error-status."""

    def __init__(self, change: Callable[[Answer], Answer], status: str) -> None:
        self._change = change
        self._status = status

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: Any) -> None:
        request, _ = decoder.decode(data, asn1Spec=V2C.Message())
        asked = [tuple(name) for name, _ in V2C.apiPDU.get_varbinds(V2C.apiMessage.get_pdu(request))]
        answer = V2C.apiMessage.get_response(request)
        told = self._change([(name, ON if name[-1] == 1 else OFF) for name in asked])
        binds = [(V2C.ObjectIdentifier(name), V2C.Integer(value)) for name, value in told]
        V2C.apiPDU.set_varbinds(V2C.apiMessage.get_pdu(answer), binds)
        V2C.apiPDU.set_error_status(V2C.apiMessage.get_pdu(answer), self._status)
        self._transport.sendto(encoder.encode(answer), peer)


def unchanged(answer: Answer) -> Answer:
    return answer


async def seen(control: PowerControl) -> tuple[PowerState, str]:
    state = await control.power_state()
    assert isinstance(control, Feeds)
    return state, told(control.last_seen())


async def switched_off(control: PowerControl) -> None:
    await control.set_power(PowerVerb.OFF)


def asked(
    outlets: Sequence[int],
    change: Callable[[Answer], Answer],
    host: str = "127.0.0.1",
    called: str = "",
    *,
    status: str = "noError",
    ask: Callable[[PowerControl], Awaitable[T]],
) -> T:
    async def story() -> T:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: Agent(change, status), local_addr=(host, 0)
        )
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
                return await ask(control)
        finally:
            messages.close()
            transport.close()

    return asyncio.run(story())


def test_answers_in_another_order_are_told_apart_by_their_names() -> None:
    told = asked((1, 2), lambda answer: answer[::-1], ask=seen)
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
        asked((2, 3), change, ask=seen)


@pytest.mark.parametrize("status", FOR_NOW)
@pytest.mark.parametrize("ask", [seen, switched_off])
def test_what_a_pdu_may_do_another_time_is_asked_again(
    status: str, ask: Callable[[PowerControl], Awaitable[object]]
) -> None:
    with pytest.raises(DeviceBusy, match=status) as caught:
        asked((1,), unchanged, status=status, ask=ask)
    assert FOR_NOW[status] in caught.value.advice


@pytest.mark.parametrize("status", ["wrongValue", "noAccess", "notWritable", "inconsistentName"])
def test_what_a_pdu_will_never_do_is_refused(status: str) -> None:
    with pytest.raises(DeviceRefused, match=status):
        asked((1,), unchanged, status=status, ask=switched_off)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_pdu_may_have_an_address_of_either_kind_or_a_name(host: str) -> None:
    bound = "127.0.0.1" if host == "localhost" else host
    assert asked((1,), unchanged, bound, called=host, ask=seen)[0] is PowerState.ON
