"""A board's SSH server: Debian's sshd in the board's namespaces, with the keys that lie in the board's root.

Whoever logs in stands before the model's own few commands: nothing here could run a tilepro64 program.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from bmsim.faces.nfs_client import NfsRefused, NfsRoot

SSHD = "/usr/sbin/sshd"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
AUTHORIZED_KEYS = "/root/.ssh/authorized_keys"
KEYGEN_S = 30

SOCKET = "monitor.sock"
"""In the board's folder: what a login asks."""

# Of the board, over this system's own: no other user, and no password.
PASSWD = "root:x:0:0:root:/:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
SHADOW = "root:*:19000::::::\nsshd:!:19000::::::\n"


class Sshd:
    """folder: the board's own, in memory of this system's and gone with its power."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, root: NfsRoot) -> str:
        """Why it didn't start; empty: it listens, or did already. Raises NfsRefused, NfsSilent."""
        if self._process is not None and self._process.returncode is None:
            return ""
        await self._fetch_keys(root)
        await asyncio.to_thread(self._cover_users)
        config = self._folder / "sshd_config"
        config.write_text(self._config())
        self._process = await asyncio.create_subprocess_exec(
            *(SSHD, "-D", "-e", "-f", str(config)),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=(self._folder / "sshd.log").open("ab"),
        )
        return await self._listens()

    async def _listens(self) -> str:
        assert self._process is not None
        for _ in range(200):
            if self._process.returncode is not None:
                return f"sshd ended: {(self._folder / 'sshd.log').read_text(errors='replace')[-300:].strip()}"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", 22)
                writer.close()
            except OSError:
                await asyncio.sleep(0.05)
            else:
                return ""
        return "sshd doesn't listen"

    async def _fetch_keys(self, root: NfsRoot) -> None:
        """The host key lies in the root; a board that has none yet makes one there, as at its first boot."""
        key = self._folder / "host_key"
        try:
            content = await root.read(HOST_KEY)
        except NfsRefused:
            key.unlink(missing_ok=True)
            make = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key))
            await asyncio.to_thread(
                lambda: subprocess.run(make, check=True, capture_output=True, timeout=KEYGEN_S)
            )
            await root.write(HOST_KEY, key)
        else:
            key.touch(mode=0o600)
            key.write_bytes(content)
        try:
            authorized = await root.read(AUTHORIZED_KEYS)
        except NfsRefused:
            authorized = b""
        (self._folder / "authorized_keys").write_bytes(authorized)

    def _cover_users(self) -> None:
        """In the board's own mount namespace."""
        Path("/run/sshd").mkdir(parents=True, exist_ok=True)
        for name, text in (("passwd", PASSWD), ("shadow", SHADOW)):
            own = self._folder / name
            if not own.exists():
                own.write_text(text)
                subprocess.run(["mount", "--bind", str(own), f"/etc/{name}"], check=True, capture_output=True)

    def _config(self) -> str:
        shell = Path(__file__).with_name("tile_shell.py")
        return "\n".join(
            (
                "Port 22",
                "UsePAM no",
                "StrictModes no",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "PermitRootLogin prohibit-password",
                "AllowUsers root",
                "PidFile none",
                "PrintMotd no",
                "PermitUserEnvironment no",
                "DisableForwarding yes",
                f"HostKey {self._folder / 'host_key'}",
                f"AuthorizedKeysFile {self._folder / 'authorized_keys'}",
                f"ForceCommand {sys.executable} {shell} {self._folder / SOCKET}",
                f"SetEnv PYTHONPATH={Path(__file__).resolve().parents[2]}",
                "",
            )
        )
