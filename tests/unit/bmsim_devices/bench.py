"""A machine on a bench: its questions are answered at once, its time jumps, what it did is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bmsim.devices.disk import MIB, Disk
from bmsim.devices.firmware import Firmware
from bmsim.devices.machine import Machine, Update
from bmsim.devices.messages import (
    Answer,
    Console,
    DhcpAck,
    DhcpDiscover,
    DhcpOffer,
    DhcpRequest,
    HttpAnswer,
    HttpGet,
    Hung,
    Input,
    Output,
    Question,
    Started,
    TftpData,
    TftpError,
    TftpRead,
)
from bmsim.devices.system import KnownSystems

MAC, ADDRESS, SERVER = "52:54:00:00:00:01", "10.0.0.11", "10.0.0.1"
URL = f"http://{SERVER}:8080/boot/t0"
SYSTEMS = KnownSystems("provisioner.token=", {"debian": "debian"})

AGENT = f"""#!ipxe
kernel --name kernel {URL}/kernel initrd=ramdisk console=ttyS0 provisioner.token=t0 || exit 1
initrd --name ramdisk {URL}/ramdisk || exit 1
boot
"""

Server = Callable[[Question], Answer | None]


class Bench:
    def __init__(self, machine: Machine, server: Server) -> None:
        self.machine = machine
        self.server = server
        self.now_s = 0.0
        self.did: list[tuple[float, Output]] = []
        self._wake_at_s: float | None = None

    def give(self, *inputs: Input) -> None:
        self._digest(self.machine.update(self.now_s, inputs))

    def faults(self, given: Mapping[str, Mapping[str, Any]]) -> None:
        self._digest(self.machine.give_faults(given, self.now_s))

    def run(self, until: Callable[[Output], bool] | None = None, *, limit_s: float = 3600.0) -> None:
        """Until such an output, or nothing goes on, or the limit."""
        end_s, seen = self.now_s + limit_s, len(self.did)
        while until is None or not any(until(output) for _, output in self.did[seen:]):
            if self._wake_at_s is None or self._wake_at_s > end_s:
                self.now_s = end_s if self._wake_at_s is not None else self.now_s
                return
            seen = len(self.did)
            self.now_s = self._wake_at_s
            self.give()

    def _digest(self, update: Update) -> None:
        self._wake_at_s = update.wake_at_s
        for output in update.outputs:
            self.did.append((self.now_s, output))
            answer = self.server(output) if isinstance(output, Question) else None
            if answer is not None:
                self.give(answer)

    @property
    def outputs(self) -> list[Output]:
        return [output for _, output in self.did]

    @property
    def console(self) -> str:
        return b"".join(output.said for output in self.outputs if isinstance(output, Console)).decode()

    def all(self, *kinds: type) -> list[Output]:
        return [output for output in self.outputs if isinstance(output, kinds)]

    def times(self, kind: type) -> list[float]:
        return [at_s for at_s, output in self.did if isinstance(output, kind)]


class Network:
    """A network that works: DHCP, TFTP of iPXE, HTTP of texts and files."""

    def __init__(self, script: str = AGENT) -> None:
        self.script = script
        self.offers = self.acks = True
        self.files: dict[str, str | int] = {"kernel": 8 * MIB, "ramdisk": 24 * MIB, "snponly.efi": 1 * MIB}
        self.tftp_files = {"undionly.kpxe", "snponly.efi"}

    def __call__(self, question: Question) -> Answer | None:
        match question:
            case DhcpDiscover():
                return DhcpOffer(question.ask, ADDRESS, SERVER, self.file(question)) if self.offers else None
            case DhcpRequest():
                return DhcpAck(question.ask, ADDRESS, SERVER, self.file(question)) if self.acks else None
            case TftpRead():
                known = question.file in self.tftp_files
                return TftpData(question.ask, MIB // 2) if known else TftpError(question.ask)
            case HttpGet():
                return self.http(question)

    def file(self, question: DhcpDiscover | DhcpRequest) -> str:
        if question.client == "iPXE":
            return f"{URL}/boot.ipxe"
        files = {0: "undionly.kpxe", 7: "snponly.efi", 0x10: f"{URL}/snponly.efi"}
        return "" if question.architecture is None else files.get(question.architecture, "")

    def http(self, question: HttpGet) -> Answer | None:
        name = question.url.rpartition("/")[2]
        if name == "boot.ipxe":
            return HttpAnswer(question.ask, 200, len(self.script), self.script)
        size = self.files.get(name)
        return HttpAnswer(question.ask, 404) if size is None else HttpAnswer(question.ask, 200, int(size))


def bench(firmware: Firmware = Firmware.BIOS_IPXE, server: Server | None = None, **given: Any) -> Bench:
    given.setdefault("disk", Disk(128 * MIB))
    return Bench(Machine((MAC,), SYSTEMS, firmware=firmware, **given), server or Network())


def started(output: Output) -> bool:
    return isinstance(output, Started)


def hung(output: Output) -> bool:
    return isinstance(output, Hung)
