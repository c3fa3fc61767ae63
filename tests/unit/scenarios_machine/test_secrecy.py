"""What must not be told on machines passed their wires, and what is told is all that anybody heard."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bmsim.sandbox.frames import TCP, UDP, Datagram
from scenarios.runner.invariants.no_secret_told import NoSecretTold
from scenarios.runner.machine.beside import Beside
from scenarios.runner.machine.secrecy import Secrecy
from scenarios.runner.machine.wire_secrets import secrets_in
from tests.unit.invariants.watched import Lab

TOKEN, ANOTHER = "0123456789abcdef" * 2, "fedcba9876543210" * 2


def packet(payload: str, *, port: int = 8080, protocol: int = TCP) -> Datagram:
    macs = ("52:54:00:77:00:01", "52:54:00:00:00:02")
    return Datagram(*macs, "10.77.0.100", "10.77.0.10", 40_000, port, payload.encode(), protocol)


@pytest.mark.parametrize(
    ("payload", "port", "found"),
    [
        (f"GET /boot/{TOKEN}/kernel HTTP/1.1\r\n\r\n", 8080, [TOKEN]),
        (f"POST /phone-home/{TOKEN} HTTP/1.1\r\n\r\n", 8080, [TOKEN]),
        (f"POST /agent/v1/hello HTTP/1.1\r\nauthorization: Bearer {TOKEN}\r\n\r\n", 8080, [TOKEN]),
        (f"GET /v1/status HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n", 9999, [TOKEN]),
        (f'{{"name": "export_disk", "params": {{"chap_password": "{ANOTHER}"}}}}', 9999, [ANOTHER]),
        (f"PUT /v1/commands/{ANOTHER} HTTP/1.1\r\n\r\n", 9999, []),  # its number is no secret
        (f"GET /boot/{TOKEN}0/kernel HTTP/1.1\r\n\r\n", 8080, []),  # a checksum, say
        (f"GET /boot/{TOKEN}/kernel HTTP/1.1\r\n\r\n", 80, []),
    ],
)
def test_a_secret_that_passes_is_known(payload: str, port: int, found: list[str]) -> None:
    assert list(secrets_in(packet(payload, port=port))) == found
    assert list(secrets_in(packet(payload, port=port, protocol=UDP))) == []


class Ear:
    """`Beside` that has heard these."""

    def __init__(self, *secrets: str) -> None:
        self.told: list[dict[str, Any]] = [{"secret": secret} for secret in secrets]

    def fresh(self) -> list[dict[str, Any]]:
        told, self.told = self.told, []
        return told


class MachineLab(Lab):
    """What the judge finds out, of a node whose console has printed this."""

    def __init__(self, secrecy: Secrecy, log: str, console: str) -> None:
        super().__init__()
        self.hidden = sorted(secrecy.secrets())
        self.logs = list(secrecy.told(log, ["n1"], lambda node: console))


def breaches(secrecy: Secrecy, *, log: str = "", console: str = "") -> list[str]:
    return [breach.what for breach in NoSecretTold().end(0.0, MachineLab(secrecy, log, console))]


def heard(*secrets: str) -> Secrecy:
    return Secrecy([cast(Beside, Ear(secret)) for secret in secrets])


def test_what_any_host_has_heard_is_looked_for_from_then_on() -> None:
    secrecy = heard(TOKEN, ANOTHER)
    assert secrecy.secrets() == secrecy.secrets() == {TOKEN, ANOTHER}


def test_a_secret_in_an_answer_is_told_of_once_and_whichever_it_was() -> None:
    secrecy = heard(TOKEN)
    for _ in range(3):
        secrecy.answered("GET /v1/nodes", '{"items": []}')
        secrecy.answered("GET /v1/nodes/n1/events?after=7", f'[{{"text": "exported with {TOKEN}"}}]')
    assert breaches(secrecy) == ["a secret stands in the answer to GET /v1/nodes/n1/events?after=7"]


@pytest.mark.parametrize(
    ("told", "where"),
    [
        ({"log": f"exported {TOKEN}"}, "the provisioner's log"),
        ({"console": f"Command line: provisioner.token={TOKEN}"}, "the console of n1"),
    ],
)
def test_a_secret_in_a_log_or_on_a_console_is_seen(told: dict[str, str], where: str) -> None:
    assert breaches(heard(TOKEN), **told) == [f"a secret stands in {where}"]
    assert breaches(heard(ANOTHER), **told) == []


def test_the_url_that_firmware_prints_is_no_breach_and_anything_beside_it_is() -> None:
    printed = f"http://10.77.0.10:8080/boot/{TOKEN}/boot.ipxe... ok\n"
    assert breaches(heard(TOKEN), console=printed) == []
    assert breaches(heard(TOKEN), console=f"{printed}token={TOKEN}\n") == [
        "a secret stands in the console of n1"
    ]
    assert breaches(heard(TOKEN), log=printed) == ["a secret stands in the provisioner's log"]
