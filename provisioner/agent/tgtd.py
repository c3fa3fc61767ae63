"""The iSCSI target daemon (package tgt), spoken to over its management socket.

tgtadm would take the CHAP secret in argv; the socket doesn't. The request's layout was read off what
tgtadm 1.0.85 sends (fixtures/SOURCES.md); both ends are of one package, built into one ramdisk.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
from pathlib import Path

from provisioner.agent.errors import CommandError
from provisioner.agent.job import Job, spawn_daemon

START_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 10.0
POLL_S = 0.02
STDERR_SHOWN_CHARS = 500

MODE_TARGET, MODE_UNIT, MODE_PORTAL, MODE_ACCOUNT = 1, 2, 3, 7
OP_NEW, OP_SHOW, OP_BIND, OP_UPDATE = 0, 2, 3, 5
NO_ID = 0xFFFFFFFF
NO_UNIT = 0xFFFFFFFFFFFFFFFF
REQUEST = struct.Struct("=II64sIIQQIIIIII")
"""mode, op, driver, length, target, session, unit, connection, host, device type, account direction,
pack, force; then the parameters as text that ends with a zero byte."""
ANSWER = struct.Struct("=II")  # error, length

ERRORS = {
    1: "unknown error",
    2: "out of memory",
    3: "no such driver",
    4: "no such target",
    5: "no such logical unit",
    8: "the target exists",
    9: "the logical unit exists",
    12: "the account exists",
    15: "invalid request",
    19: "not supported",
    20: "unknown parameter",
}


class Tgtd:
    """One daemon for one export: to kill it is to cut every session at once, whatever it was doing."""

    def __init__(self, job: Job, run_folder: Path, portal_port: int, iothreads: int = 8) -> None:
        """Returns when the daemon takes orders. Raises CommandError `export-failed`."""
        self._portal = f"0.0.0.0:{portal_port}"
        self._folder = run_folder / f"tgtd-{os.urandom(4).hex()}"
        self._folder.mkdir(mode=0o700)
        self._log = (self._folder / "log").open("w+b")
        self._socket = str(self._folder / "socket")
        argv = ["tgtd", "-f", "-t", str(iothreads), "--iscsi", f"portal={self._portal}"]
        env = {**os.environ, "TGT_IPC_SOCKET": self._socket}
        self._child = spawn_daemon(
            argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=env
        )
        try:
            self._wait_until_ready(job)
        except CommandError:
            self.kill()
            raise

    def kill(self) -> None:
        """Nothing is written through this daemon any more when this returns."""
        self._child.kill()
        self._child.wait()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def new_target(self, iqn: str) -> None:
        self._order(MODE_TARGET, OP_NEW, f"targetname={iqn}", target=1)

    def set_parameter(self, name: str, value: int) -> None:
        self._order(MODE_TARGET, OP_UPDATE, f"{name}={value}", target=1)

    def new_unit(self, device: str, lun: int, *, thin: bool) -> None:
        """thin: UNMAP and WRITE SAME are carried out by the disk, so that zeros need not be sent."""
        self._order(MODE_UNIT, OP_NEW, f"path={device},bstype=rdwr", target=1, unit=lun)
        if thin:
            self._order(MODE_UNIT, OP_UPDATE, "targetOps thin_provisioning=1,", target=1, unit=lun)

    def require_chap(self, user: str, password: str) -> None:
        self._order(MODE_ACCOUNT, OP_NEW, f"user={user},password={password}")
        self._order(MODE_ACCOUNT, OP_BIND, f"user={user}", target=1)

    def admit(self, initiator_address: str) -> None:
        self._order(MODE_TARGET, OP_BIND, f"initiator-address={initiator_address}", target=1)

    def _order(self, mode: int, op: int, text: str = "", *, target: int = NO_ID, unit: int = NO_UNIT) -> str:
        """Carries out one order; what it shows, if it is to show something."""
        params = text.encode() + b"\0" if text else b""
        length = REQUEST.size + len(params)
        request = REQUEST.pack(mode, op, b"iscsi", length, target, 0, unit, 0, 0, 0, 0, 0, 0) + params
        try:
            with self._connect() as connection:
                connection.sendall(request)
                answer = connection.recv(ANSWER.size, socket.MSG_WAITALL)
                if len(answer) != ANSWER.size:
                    raise self._failure("it hung up over its management socket")
                status, length = ANSWER.unpack(answer)
                shown = connection.recv(length - ANSWER.size, socket.MSG_WAITALL) if not status else b""
        except OSError as error:
            raise self._failure(f"no answer over its management socket ({error})") from error
        if status:
            what = ERRORS.get(status, f"error {status}")
            raise self._failure(f"it refused operation {op} of mode {mode}: {what}")
        return shown.decode(errors="replace")

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(self._socket + ".0")  # .0 is its control port
        except OSError:
            connection.close()
            raise
        return connection

    def _wait_until_ready(self, job: Job) -> None:
        """Until it takes orders. It does so even if it could not listen for initiators: ask it that too."""
        for _ in range(int(START_TIMEOUT_S / POLL_S)):
            if not self.alive:
                raise self._failure(f"it ended with status {self._child.returncode}")
            with contextlib.suppress(OSError):
                self._connect().close()
                break
            job.wait(POLL_S)
        if self._portal not in self._order(MODE_PORTAL, OP_SHOW):
            raise self._failure(f"it can't listen on {self._portal}")

    def _failure(self, what: str) -> CommandError:
        self._log.seek(0)
        words = self._log.read().decode(errors="replace").strip()[-STDERR_SHOWN_CHARS:]
        return CommandError("export-failed", f"tgtd: {what}" + (f"; its log: {words}" if words else ""))
