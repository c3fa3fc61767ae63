"""`ipmitool` on a compute host of the model: the provisioner's own IPMI driver runs on it unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bmsim.devices import ipmi_codes as ipmi
from provisioner.drivers.ipmi_session import RETRIES, RETRY_S
from provisioner.protocols.children import Argument, ChildResult, SecretFile
from scenarios.runner.model.program import ModelProgram, RunsChildren
from scenarios.runner.model.wires import Link, Wires

T = TypeVar("T")

LOGIN_MESSAGES = 5
"""Cipher suites, open session, RAKP 1 and 3, privilege level."""

UNANSWERED = "Error: Unable to establish IPMI v2 / RMCP+ session"


@dataclass(frozen=True, slots=True)
class Login:
    """refusal: what ipmitool prints when the BMC refuses; empty: it is in."""

    refusal: str = ""


class Bmc(Protocol):
    """A BMC as one who sends it messages sees it. None is silence."""

    node: str

    def login(self, user: str, password: str, sender: str) -> Login | None: ...

    def command(self, netfn: int, command: int, data: bytes, sender: str) -> tuple[int, bytes] | None:
        """Completion code and data."""
        ...


class ModelIpmitool(ModelProgram):
    """As it speaks to BMCs over the model's wires.

    bmc:  by its address; None when nothing answers there
    sender: how devices name this process in their audit log
    """

    name = "ipmitool"

    def __init__(
        self,
        children: RunsChildren,
        host: str,
        sender: str,
        wires: Wires,
        bmc: Callable[[str], Bmc | None],
    ) -> None:
        super().__init__(children)
        self._host = host
        self._sender = sender
        self._wires = wires
        self._bmc = bmc

    async def _run(self, argv: Sequence[Argument]) -> ChildResult:
        address, user = str(_after(argv, "-H")), str(_after(argv, "-U"))
        secret = _after(argv, "-f")
        password = secret.content.rstrip("\n") if isinstance(secret, SecretFile) else ""
        if "raw" not in argv:
            return ChildResult(1, "", "Info: SOL payload disabled")  # consoles are at hand: `ModelConsoles`
        bmc = self._bmc(address)
        if bmc is None:
            await asyncio.Event().wait()  # nobody is there: until the caller's patience ends
            raise AssertionError
        numbers = [int(str(word), 16) for word in argv[argv.index("raw") + 1 :]]
        netfn, command, data = numbers[0], numbers[1], bytes(numbers[2:])

        def serve() -> tuple[int, bytes] | None:
            return bmc.command(netfn, command, data, self._sender)

        login: Login | None
        answer: tuple[int, bytes] | None = None
        if self._wires.faulty:
            login = await self._login(bmc, user, password)
            if login is not None and not login.refusal:
                answer = await self._exchange(bmc, serve)
        else:  # what becomes of each message is known
            login, answer = await self._exchange(
                bmc, lambda: _session(bmc.login(user, password, self._sender), serve)
            ) or (None, None)
        if login is None:
            return ChildResult(1, "", UNANSWERED)
        if login.refusal:
            return ChildResult(1, "", login.refusal)
        if answer is None:
            return ChildResult(1, "", f"{UNANSWERED}: no response")
        return _printed(netfn, command, data, *answer)

    async def _login(self, bmc: Bmc, user: str, password: str) -> Login | None:
        for _ in range(LOGIN_MESSAGES - 1):
            if await self._exchange(bmc, lambda: bmc.login(user, password, "")) is None:
                return None
        return await self._exchange(bmc, lambda: bmc.login(user, password, self._sender))

    async def _exchange(self, bmc: Bmc, serve: Callable[[], T | None]) -> T | None:
        link = Link("ipmi", self._host, bmc.node)
        return await self._wires.ask(link, serve, timeout_s=RETRY_S * RETRIES, resend_s=RETRY_S)


def _session(
    login: Login | None, serve: Callable[[], tuple[int, bytes] | None]
) -> tuple[Login, tuple[int, bytes] | None] | None:
    """All that a BMC answers to one who logs in and has one command. None is silence."""
    if login is None:
        return None
    if login.refusal:
        return login, None
    answer = serve()
    return None if answer is None else (login, answer)


def _after(argv: Sequence[Argument], option: str) -> Argument:
    return argv[argv.index(option) + 1]


def _printed(netfn: int, command: int, data: bytes, code: int, answer: bytes) -> ChildResult:
    if code == ipmi.OK:
        return ChildResult(0, " ".join(f"{byte:02x}" for byte in answer), "")
    name = ipmi.command_name(netfn, command, data)
    meaning = ipmi.result(name, code).partition(" ")[2]
    complaint = (
        f"Unable to send RAW command (channel=0x0 netfn=0x{netfn:x} lun=0x0 cmd=0x{command:x} "
        f"rsp=0x{code:x}): {meaning}"
    )
    return ChildResult(1, "", complaint)
