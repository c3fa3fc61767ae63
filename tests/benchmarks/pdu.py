"""PDUs: what one of bmsim's answers, and how soon the provisioner has switched all outlets of many slow ones.

    .venv/bin/python -m tests.benchmarks.pdu [--pdus 10] [--outlets 20] [--answer-s 0.2] [--check]

Both over SNMP and loopback; each PDU is a process of its own, as in a rack. An outlet is switched when the
PDU tells its new state.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pyasn1.codec.ber import decoder, encoder
from pysnmp.proto.api import v2c

from provisioner.app.power_devices import PowerDevices
from provisioner.compute.devices import PowerPolicy, PowerSequencer
from provisioner.compute.lease import LeaseKeeper
from provisioner.core.model import Node
from provisioner.core.pdus.families import FAMILIES
from provisioner.core.states import PowerState
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.snmp_messages import PysnmpMessages
from provisioner.services.system import SystemClock
from provisioner.store.memory import MemoryStore
from tests.benchmarks.goals import Goal, exit_code, offer_check
from tests.contract.drivers.pdu import READ, WRITE, Pdu, running_pdu
from tests.unit.records import NOW, node

GOALS = (
    Goal("gets from one PDU", 500, "a second", at_least=True),
    Goal("200 outlets on 10 PDUs that take 0.2 s", 10, "s"),
)

FAMILY = "apc_rackpdu"
ROUNDS = 3
GETS = 3000
AT_ONCE = 8
"""Requests on the wire: enough that the PDU never waits for the client."""
DEADLINE_S = 60.0


def gets_per_s(pdu: Pdu) -> float:
    """Version 2c, one object each."""
    requests = [_get(number) for number in range(1, GETS + 1)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE_S)
        client.connect(("127.0.0.1", pdu.port))
        began_s = time.perf_counter()
        for request in requests[:AT_ONCE]:
            client.send(request)
        answer = b""
        for following in [*requests[AT_ONCE:], *[b""] * AT_ONCE]:
            answer = client.recv(4096)
            if following:
                client.send(following)
        took_s = time.perf_counter() - began_s
    assert _value(answer) == next(iter(FAMILIES[FAMILY].when_on)), "an outlet is on"
    return GETS / took_s


def _get(number: int) -> bytes:
    pdu, message, family = v2c.GetRequestPDU(), v2c.Message(), FAMILIES[FAMILY]
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_request_id(pdu, number)
    v2c.apiPDU.set_varbinds(pdu, [(family.oid(family.state, 1 + number % 4), v2c.Null(""))])
    v2c.apiMessage.set_defaults(message)
    v2c.apiMessage.set_community(message, READ)
    v2c.apiMessage.set_pdu(message, pdu)
    return bytes(encoder.encode(message))


def _value(answer: bytes) -> int:
    message, _ = decoder.decode(answer, asn1Spec=v2c.Message())
    ((_, value),) = v2c.apiPDU.get_varbinds(v2c.apiMessage.get_pdu(message))
    return int(value)


@contextmanager
def rack(pdus: int, outlets: int, answer_s: float) -> Iterator[list[Pdu]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        yield [
            stack.enter_context(running_pdu(Path(folder) / str(number), FAMILY, outlets, answer_s=answer_s))
            for number in range(pdus)
        ]


async def switched(pdus: Sequence[Pdu], rounds: int) -> list[float]:
    """Seconds until each node, one on each outlet, is off, or on; in turn, and confirmed."""
    clock, messages = SystemClock(), PysnmpMessages()
    lease = LeaseKeeper(MemoryStore(lambda: NOW), clock, "ch1", 3600, holder="ch1")
    await lease.acquire()
    power = PowerSequencer(lease, clock, PowerPolicy())
    devices = PowerDevices({"snmp": SnmpDevices(messages, discharge_s=0)}, lambda sealed: sealed)
    nodes = [_on(pdu, outlet) for pdu in pdus for outlet in range(1, pdu.outlets + 1)]
    took_s = []
    try:
        for number in range(rounds):
            wanted = PowerState.ON if number % 2 else PowerState.OFF
            began_s = time.perf_counter()
            async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
                for one in nodes:
                    group.create_task(power.ensure(devices.device(one), wanted))
            took_s.append(time.perf_counter() - began_s)
            assert all(pdu.fed(outlet) is bool(number % 2) for pdu in pdus for outlet in (1, pdu.outlets))
    finally:
        messages.close()
    return took_s


def _on(pdu: Pdu, outlet: int) -> Node:
    return node(
        id=f"{pdu.port}-{outlet}",
        name=f"n{pdu.port}-{outlet}",
        power_driver="snmp",
        power_address={**pdu.address, "outlets": [outlet]},
        power_secret_sealed=json.dumps({"community": WRITE}),
    )


def figures(
    rates: Sequence[float], took_s: Sequence[float], *, pdus: int, outlets: int, answer_s: float
) -> dict[str, float]:
    """outlets: of each. Medians of the rounds, as GOALS call them."""
    return {
        "gets from one PDU": statistics.median(rates),
        f"{pdus * outlets} outlets on {pdus} PDUs that take {answer_s:g} s": statistics.median(took_s),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pdus", type=int, default=10)
    parser.add_argument("--outlets", type=int, default=20, help="of each")
    parser.add_argument("--answer-s", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    offer_check(parser)
    given = parser.parse_args()
    with rack(1, 4, 0.0) as (one,):
        rates = [gets_per_s(one) for _ in range(given.rounds)]
    print(f"gets from one PDU: {statistics.median(rates):.0f}/s ({min(rates):.0f} to {max(rates):.0f})")
    with rack(given.pdus, given.outlets, given.answer_s) as pdus:
        took_s = asyncio.run(switched(pdus, given.rounds))
    print(
        f"{given.pdus * given.outlets} outlets on {given.pdus} PDUs that take {given.answer_s:g} s to answer:"
        f" {statistics.median(took_s):.1f} s ({min(took_s):.1f} to {max(took_s):.1f})"
    )
    sizes = {"pdus": given.pdus, "outlets": given.outlets, "answer_s": given.answer_s}
    return exit_code(GOALS, figures(rates, took_s, **sizes), check=given.check)


if __name__ == "__main__":
    sys.exit(main())
