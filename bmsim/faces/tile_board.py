"""A board with its real wires: DHCP, TFTP and NFS as it boots, pings, a monitor and SSH once it is up."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from bmsim.audit import AuditLog, Entry
from bmsim.devices import tile_commands as acts
from bmsim.devices.elf import HEAD_BYTES
from bmsim.devices.machine import Update
from bmsim.devices.messages import (
    Answer,
    BootpReply,
    BootpRequest,
    Console,
    DhcpAck,
    DhcpDiscover,
    DhcpRequest,
    Hung,
    NfsData,
    NfsError,
    NfsRead,
    Output,
    PowerOn,
    Started,
    Struck,
    TftpData,
    TftpError,
    TftpRead,
)
from bmsim.devices.tile_board import TileBoard
from bmsim.devices.tile_commands import NIC
from bmsim.faces.dhcp_client import DhcpWire
from bmsim.faces.nfs_client import NfsRefused, NfsRoot, NfsSilent
from bmsim.faces.tftp_client import Received, TftpRefused, fetch
from bmsim.faces.tile_sshd import Sshd
from bmsim.faults.fault_file import FaultFile

FAULTS_POLL_S = 0.2
PROGRESS_S = 1.0
COMMAND_S = 30

ECHO_IGNORED = Path("/proc/sys/net/ipv4/icmp_echo_ignore_all")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    code: int = 0
    out: str = ""
    err: str = ""


class TileFace:
    """Made inside the event loop that runs it, in the board's own network namespace. folder: the board's
    memory. listens: called when its monitor is to be reached from now on."""

    def __init__(
        self,
        node: str,
        board: TileBoard,
        *,
        folder: Path,
        console: Path,
        audit: AuditLog,
        faults: FaultFile,
        listens: Callable[[], None],
    ) -> None:
        self.board = board
        self._node = node
        self._dmesg = bytearray()
        self._console = console.open("ab", buffering=0)
        self._audit = audit
        self._faults = faults
        self._listens = listens
        self._loop = asyncio.get_running_loop()
        self._dhcp = DhcpWire(NIC)
        self._sshd = Sshd(folder)
        self._fetching: dict[int, asyncio.Task[None]] = {}
        self._wake: asyncio.TimerHandle | None = None
        self._prefix = 24

    async def run(self) -> None:
        """Power is on. Until cancelled."""
        _answer_pings(False)
        self._loop.add_reader(self._dhcp, self._heard)
        self._follow(self.board.update(self._loop.time(), (PowerOn(),)))
        while True:
            self._follow(self.board.give_faults(self._faults.read(), self._loop.time()))
            await asyncio.sleep(FAULTS_POLL_S)

    # --- what the board does ------------------------------------------------------------------------

    def _give(self, answer: Answer) -> None:
        self._follow(self.board.update(self._loop.time(), (answer,)))

    def _follow(self, update: Update) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = None
        if update.wake_at_s is not None:
            self._wake = self._loop.call_at(update.wake_at_s, self._woken)
        for output in update.outputs:
            self._do(output)

    def _woken(self) -> None:
        self._follow(self.board.update(self._loop.time()))

    def _do(self, output: Output) -> None:
        match output:
            case DhcpDiscover() | DhcpRequest() | BootpRequest():
                try:
                    self._dhcp.ask(output)
                except OSError as error:  # no carrier: nobody hears it
                    self._say(f"{NIC}: {error.strerror}")
            case TftpRead():
                self._begin(output.ask, self._fetch(output))
            case NfsRead():
                self._begin(output.ask, self._read(output))
            case Console():
                self._write(output.said)
            case Started():
                _answer_pings(True)
                self._note("machine", "up", address=output.address)
                self._listens()
            case Hung():
                self._note("machine", "hung", why=output.why)
                if self.board.refused:
                    self._listens()
            case Struck():
                self._note("fault", "struck", fault=output.fault)

    def _begin(self, ask: int, work: Coroutine[None, None, None]) -> None:
        """A question that is asked again while it is worked on waits for that."""
        if ask in self._fetching:
            work.close()
            return
        task = self._loop.create_task(work)
        self._fetching[ask] = task
        task.add_done_callback(lambda _: self._fetching.pop(ask, None))

    def _heard(self) -> None:
        answer = self._dhcp.answer()
        if isinstance(answer, DhcpAck | BootpReply):
            self._prefix = self._dhcp.prefix
            self._set_address(answer.address, self._prefix)
            if self._dhcp.router:
                _ip("route", "replace", "default", "via", self._dhcp.router)
        if answer is not None:
            self._give(answer)

    async def _fetch(self, question: TftpRead) -> None:
        told_s = self._loop.time()

        def progress(size_bytes: int) -> None:  # in the thread
            nonlocal told_s
            if self._loop.time() - told_s >= PROGRESS_S:
                told_s = self._loop.time()
                partly = TftpData(question.ask, size_bytes, size_bytes, complete=False)
                self._loop.call_soon_threadsafe(self._give, partly)

        received = Received(HEAD_BYTES, progress)
        try:
            whole = await asyncio.to_thread(fetch, question.server, question.file, received)
        except TftpRefused as error:
            self._give(TftpError(question.ask, str(error)))
            return
        if whole:
            self._give(TftpData(question.ask, received.size_bytes, head=bytes(received.head)))

    async def _read(self, question: NfsRead) -> None:
        try:
            content = await NfsRoot(question.root).read(question.file)
        except NfsRefused as error:
            self._give(NfsError(question.ask, str(error)))
        except NfsSilent:
            return  # it asks again
        else:
            self._give(NfsData(question.ask, content[:HEAD_BYTES]))

    # --- what it is told ----------------------------------------------------------------------------

    async def command(self, words: Sequence[str], sender: str) -> Reply:
        """By its monitor or a login."""
        reply = await self._execute(acts.act_of(words))
        self._note("monitor", words[0] if words else "", sender, reply.code, words=list(words[1:]))
        return reply

    async def _execute(self, act: acts.Act) -> Reply:
        if not self.board.up and not isinstance(act, acts.Dmesg):
            return Reply(code=1, err="the board isn't up: its loader tells what dmesg tells, and no more\n")
        try:
            return await self._act(act)
        except (NfsRefused, NfsSilent) as error:
            return Reply(code=1, err=f"{error}\n")
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", "") or str(error)
            return Reply(code=1, err=f"{said.strip()}\n")

    async def _act(self, act: acts.Act) -> Reply:
        match act:
            case acts.Say(text):
                return Reply(out=text)
            case acts.Refuse(code, why):
                return Reply(code=code, err=f"{why}\n")
            case acts.Dmesg():
                return Reply(out=self._dmesg.decode(errors="replace"))
            case acts.ReadFile(path):
                return Reply(out=(await NfsRoot(self.board.root).read(path)).decode(errors="replace"))
            case acts.ShowNic():
                return Reply(out=_ip("address", "show", "dev", NIC))
            case acts.SetMac(mac):
                self._set_mac(mac)
            case acts.SetAddress(address, prefix):
                self._set_address(address, prefix or self._prefix)
            case acts.StartSshd():
                why = await self._sshd.start(NfsRoot(self.board.root))
                return Reply(code=1, err=f"{why}\n") if why else Reply()
            case acts.FilterPackets(words):
                return Reply(out=_run("iptables", *words))
        return Reply()

    def _set_mac(self, mac: str) -> None:
        if Path(f"/sys/class/net/{NIC}/address").read_text().strip() != mac:
            _ip("link", "set", NIC, "address", mac)

    def _set_address(self, address: str, prefix: int) -> None:
        """The only one it has."""
        self._prefix = prefix
        if f" {address}/{prefix} " not in _ip("address", "show", "dev", NIC):
            _ip("address", "flush", "dev", NIC)
            _ip("address", "add", f"{address}/{prefix}", "dev", NIC)

    # --- what is kept -------------------------------------------------------------------------------

    def _say(self, line: str) -> None:
        self._write(f"{line}\r\n".encode())

    def _write(self, said: bytes) -> None:
        self._console.write(said)
        self._dmesg += said.replace(b"\r\n", b"\n")

    def _note(self, device: str, command: str, sender: str = "", code: int = 0, **args: object) -> None:
        self._audit.write(
            Entry(
                t=time.time(),
                node=self._node,
                device=device,
                sender=sender,
                command=command,
                result="ok" if code == 0 else str(code),
                args=args,
            )
        )


def _answer_pings(answers: bool) -> None:
    """By the kernel of the board's network namespace."""
    ECHO_IGNORED.write_text("0" if answers else "1")


def _ip(*words: str) -> str:
    return _run("ip", *words)


def _run(*words: str) -> str:
    """Raises subprocess.CalledProcessError with its words."""
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=COMMAND_S).stdout
