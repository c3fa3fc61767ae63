"""GRUB, as Debian builds it for netboot of UEFI: it reads all from where it was loaded from, by TFTP.

It asks no DHCP: its address is the one that firmware was given. Source: GRUB 2.06, grub-core/net/tftp.c and
grub-core/normal/main.c, and what Debian's grubnetaa64.efi was seen to ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bmsim.devices import net_client
from bmsim.devices.boot_shell import BadScript, End, Result, Shell, run
from bmsim.devices.net_client import Body
from bmsim.devices.running import Failure, Flow, Running
from bmsim.devices.system import Kernel, System, Then
from bmsim.devices.timing import GRUB_TFTP_S

SCRIPT = "/grub/grub.cfg"
LISTS = ("command", "fs", "crypto", "terminal")
"""Of modules that could be fetched: it goes on without."""


class Grub:
    """One run of it. server: that it was loaded from. platform: the name of its folder of modules."""

    def __init__(
        self, machine: Running, platform: str, server: str, system_on_disk: Callable[[], System | None]
    ) -> None:
        self._machine = machine
        self._platform = platform
        self._server = server
        self._system_on_disk = system_on_disk
        self._root_found = False
        self._loaded: Kernel | System | None = None

    def start(self) -> Flow[End]:
        """Never Then.NEXT_DEVICE: without a configuration that boots it waits for somebody to type."""
        yield from self._machine.sleep(self._machine.timing.loader_s)
        yield from self._machine.gate("loader")
        for name in LISTS:
            yield from self._fetch(f"/grub/{self._platform}/{name}.lst")
        got = yield from self._fetch(SCRIPT)
        if isinstance(got, Body):
            end = yield from self._run(got.head.decode("utf-8", "replace"))
            if not isinstance(end, int):
                return end
        self._machine.say("grub> ")
        yield from self._machine.stop("nothing to boot: GRUB waits at its prompt")
        return Then.NEXT_DEVICE

    def _fetch(self, file: str) -> Flow[Body | Failure]:
        return (yield from net_client.tftp(self._machine, self._server, file, GRUB_TFTP_S))

    def _run(self, script: str) -> Flow[Result]:
        try:
            return (yield from run(script, {}, self._execute, Shell.GRUB))
        except BadScript as error:
            self._machine.say(str(error))
            return 1

    # --- commands ----------------------------------------------------------------------------------

    def _execute(self, words: Sequence[str]) -> Flow[Result]:
        match list(words):
            case ["echo", *said]:
                self._machine.say(" ".join(said))
                return 0
            case ["sleep", seconds] if seconds.isdigit():
                yield from self._machine.sleep(float(seconds))
                return 0
            case ["linux", kernel, *line]:
                if not (yield from self._load(kernel)):
                    return 1
                self._loaded = Kernel(self._url(kernel), "", " ".join(line))
                return 0
            case ["initrd", ramdisk]:
                if not isinstance(self._loaded, Kernel):
                    self._machine.say("error: you need to load the kernel first.")
                    return 1
                if not (yield from self._load(ramdisk)):
                    return 1
                self._loaded = Kernel(self._loaded.url, self._url(ramdisk), self._loaded.command_line)
                return 0
            case ["search", *_, file]:
                self._root_found = self._system_on_disk() is not None
                return 0 if self._root_found else self._fails(f"no such device: {file}")
            case ["chainloader", file]:
                self._loaded = self._system_on_disk() if self._root_found else None
                return 0 if self._loaded is not None else self._fails(f"file `{file}' not found")
            case ["boot"]:
                return self._loaded or self._fails("you need to load the kernel first")
            case ["reboot"]:
                return Then.REBOOT
            case [name, *_]:
                return self._fails(f"can't find command `{name}'")
        return 1

    def _load(self, file: str) -> Flow[bool]:
        got = yield from self._fetch(file)
        if isinstance(got, Failure):
            self._fails(got.why)
        return isinstance(got, Body)

    def _url(self, file: str) -> str:
        return f"tftp://{self._server}/{file.lstrip('/')}"

    def _fails(self, why: str) -> int:
        self._machine.say(f"error: {why}.")
        return 1
