"""One IPMI command to one BMC, by ipmitool; its complaints become our errors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from provisioner.core.errors import (
    DeviceBusy,
    DeviceRefused,
    DeviceUnreachable,
    InvalidInput,
    ProvisionerError,
    WrongCredentials,
)
from provisioner.protocols.children import Argument, Children, ChildResult, ChildTimedOut, SecretFile, ending

MAX_PASSWORD_BYTES = 20  # IPMI 2.0 §22.30
MAX_USER_BYTES = 16  # IPMI 2.0 §22.28

# ipmitool sends a packet RETRIES times, RETRY_S apart: a lost one is sent again well within the bound.
RETRY_S = 1
RETRIES = 3

# Completion codes (IPMI 2.0 table 5-2) that may pass by themselves.
BUSY_CODES = frozenset(
    {
        0xC0,  # node busy
        0xC3,  # timeout while processing
        0xC4,  # out of space
        0xCE,  # response could not be provided
        0xCF,  # duplicated request
        0xD0,  # SDR repository in update mode
        0xD1,  # firmware update mode
        0xD2,  # BMC initialization in progress
        0xD3,  # destination unavailable
        0xD5,  # not supported in present state: iLO says so of the boot device until POST ends
        0xFF,  # unspecified error
    }
)

# What an operator does about an answer (IPMI 2.0 table 5-2); the rest of them: _REFUSED.
_ADVICE = {
    0xC1: "This BMC doesn't know the command: look for newer firmware",
    0xD4: "Give the user a higher privilege on the BMC; power.privilege is the one that is asked for",
}
_BUSY = "If it stays so, reset the BMC, and look whether another program manages it too"
_REFUSED = "Look at the user's rights and at locked functions on the BMC; its log may say more"

_COMPLETION = re.compile(r"rsp=0x([0-9a-f]{1,2})\): *(.*)", re.IGNORECASE)

# What ipmitool prints when a session isn't opened, and what it means; first match counts.
_CREDENTIALS = re.compile(
    r"unauthorized name|RAKP 2 HMAC is invalid|RAKP 2 message has invalid|RAKP 4 message|"
    r"invalid integrity check value|unauthorized role|invalid role|privilege level",
    re.IGNORECASE,
)
_SUITE = re.compile(
    r"no matching (cipher suite|authentication payload|integrity payload)|"
    r"invalid (authentication|integrity|confidentiality) algorithm|is not what we requested",
    re.IGNORECASE,
)
_SILENT_LOGIN = re.compile(r"no response from RAKP", re.IGNORECASE)
_SESSIONS = re.compile(r"insufficient resources", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BmcAddress:
    """Where a BMC is and how to log in, as the node file's `power` gives it."""

    host: str
    port: int
    user: str
    cipher_suites: tuple[int, ...]  # tried in this order; a BMC without the first says so at once
    privilege: str

    @classmethod
    def parse(cls, address: Mapping[str, object], secret: Mapping[str, str]) -> BmcAddress:
        """Raises InvalidInput naming the field."""
        user = str(address.get("user", secret.get("user", "")))
        suites = address.get("cipher_suites", (3, 17))
        if not isinstance(suites, list | tuple) or not suites or not all(_is(n, 0, 17) for n in suites):
            raise _invalid("cipher_suites", suites, "a list of numbers from 0 to 17, such as [3, 17]")
        port = address.get("port", 623)
        if not _is(port, 1, 65535):
            raise _invalid("port", port, "a UDP port, usually 623")
        host = str(address.get("address", ""))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.:-]*", host):
            raise _invalid("address", host, "the BMC's address or name")
        if len(user.encode()) > MAX_USER_BYTES:
            raise _invalid("user", user, f"at most {MAX_USER_BYTES} bytes")
        privilege = str(address.get("privilege", "ADMINISTRATOR")).upper()
        if privilege not in ("USER", "OPERATOR", "ADMINISTRATOR"):
            raise _invalid("privilege", privilege, "ADMINISTRATOR, OPERATOR or USER")
        return cls(host, int(str(port)), user, tuple(suites), privilege)


class IpmiSession:
    """Runs ipmitool against one BMC. Each run is a session of its own."""

    def __init__(
        self, children: Children, name: str, address: BmcAddress, password: str, *, timeout_s: float
    ) -> None:
        """timeout_s: what `bounded` gives to all commands inside it together."""
        if len(password.encode()) > MAX_PASSWORD_BYTES or "\n" in password:
            raise _invalid("password", "…", f"at most {MAX_PASSWORD_BYTES} bytes, on one line")
        self.children = children
        self.name = name
        self._address = address
        self._password = password
        self._timeout_s = timeout_s
        # A little less, so that ipmitool's complaints are in hand when `bounded` would end it.
        self._command_s = timeout_s - 0.2
        self._suites = list(address.cipher_suites)

    @asynccontextmanager
    async def bounded(self, tried: str) -> AsyncIterator[None]:
        """Ends what is inside after `timeout_s`, by DeviceUnreachable."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            raise self._unreachable(tried) from None

    async def raw(self, tried: str, netfn: int, command: int, *data: int) -> bytes:
        """Sends one command and returns the answer's data after its completion code.

        Raises DeviceUnreachable, DeviceBusy, DeviceRefused or WrongCredentials.
        """
        result = await self._run(tried, ["raw", *(f"0x{byte:02x}" for byte in (netfn, command, *data))])
        try:
            return bytes.fromhex("".join(result.stdout.split()))
        except ValueError as error:
            raise DeviceUnreachable(
                tried,
                device=self.name,
                answer=f"ipmitool printed {result.stdout[:80]!r}",
                advice="Run ipmitool by hand on the compute host: it may be of a version unknown here",
            ) from error

    async def _run(self, tried: str, words: list[str]) -> ChildResult:
        while True:
            try:
                result = await self.children.run(self.command_line(words), timeout_s=self._command_s)
            except ChildTimedOut as error:
                raise self._unreachable(tried, error.stderr) from None
            if result.code == 0:
                return result
            if len(self._suites) > 1 and _SUITE.search(result.stderr):
                # Remembered: the BMC that has no suite 3 today has none tomorrow.
                del self._suites[0]
                continue
            raise self.error(tried, result)

    def command_line(self, words: list[str], *, retries: int = RETRIES) -> list[Argument]:
        """ipmitool with all that opens a session; the password comes by a pipe."""
        address = self._address
        return [
            *("ipmitool", "-I", "lanplus", "-H", address.host, "-p", str(address.port)),
            *("-U", address.user, "-f", SecretFile("", self._password + "\n")),
            *("-C", str(self._suites[0]), "-L", address.privilege),
            # -v, since why a login failed is no error to ipmitool, but information.
            *("-N", str(RETRY_S), "-R", str(retries), "-v"),
            *words,
        ]

    def error(self, tried: str, result: ChildResult) -> ProvisionerError:
        """What a failed run means."""
        said = result.stderr
        if result.code < 0:
            return DeviceUnreachable(
                tried,
                device=self.name,
                answer=ending(result.code),
                advice="Look in the compute host's kernel log for what ended it; memory may be short",
            )
        if completion := _COMPLETION.search(said):
            code = int(completion[1], 16)
            answer = f"0x{code:02X} {completion[2].strip()}"
            if code in BUSY_CODES:
                return DeviceBusy(tried, device=self.name, answer=answer, advice=_BUSY)
            advice = _ADVICE.get(code, _REFUSED)
            return DeviceRefused(tried, device=self.name, answer=answer, advice=advice)
        complaint = _first_complaint(said)
        if _CREDENTIALS.search(said):
            return WrongCredentials(
                tried,
                device=self.name,
                answer=complaint,
                advice="Check user, password and the user's privilege on the BMC",
            )
        if _SESSIONS.search(said):
            return DeviceBusy(
                tried,
                device=self.name,
                answer="it has no free session",
                advice="Close those of other programs, or reset the BMC",
            )
        if _SUITE.search(said):
            return DeviceRefused(
                tried,
                device=self.name,
                answer=f"it serves none of the cipher suites {list(self._address.cipher_suites)}",
                advice="Set cipher_suites in the node's power section to one that the BMC has enabled",
            )
        return self._unreachable(tried, said)

    def _unreachable(self, tried: str, said: str = "") -> DeviceUnreachable:
        """said: what ipmitool complained before it gave up, or before its time was up."""
        if _SILENT_LOGIN.search(said):
            return DeviceUnreachable(
                tried,
                device=self.name,
                answer="it answers, and falls silent at the login",
                advice="Some BMCs do that when the user or the password is wrong",
            )
        return DeviceUnreachable(
            tried,
            device=self.name,
            answer=f"no answer in {self._timeout_s:g} s",
            advice="Look at its power and its network, at power.address, and whether it allows IPMI over LAN",
        )


_COMPLAINT = re.compile(r"error|RAKP|unable|fail|not what we requested", re.IGNORECASE)


def _first_complaint(said: str) -> str:
    """The line that tells most: ipmitool's first one, since the later ones only say that it gave up."""
    lines = [line.strip(" >\t").removeprefix("Error: ") for line in said.splitlines()]
    return next((line for line in lines if _COMPLAINT.search(line)), lines[-1] if lines else "")


def _is(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _invalid(field: str, value: object, expected: str) -> InvalidInput:
    return InvalidInput(
        "reach a BMC by IPMI",
        field=f"power.{field}",
        answer=f"{value!r} can't be used: it must be {expected}",
    )
