"""iPXE's scripts: the commands that boot scripts consist of, with iPXE's meaning of || and && and goto.

https://ipxe.org/scripting and https://ipxe.org/cmd
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from typing import Protocol
from urllib.parse import urljoin

from bmsim.devices.net_client import Body
from bmsim.devices.running import Failure, Flow, Running
from bmsim.devices.system import Kernel, System, Then

MAGIC = "#!ipxe"

MAX_COMMANDS = 10_000
"""Without any time passing: a script that does more spins for ever."""

# Error numbers as iPXE shows them: https://ipxe.org/err
NOT_FOUND, NO_COMMAND, BAD_FORMAT, BAD_ARGUMENT = 0x2D0C613B, 0x2E852001, 0x2E008081, 0x2E042001
RESET, TIMED_OUT, IO, NO_LABEL, NOTHING = 0x0F0A6039, 0x4C0A6035, 0x1D0C6139, 0x2D04E03B, 0x2D03E13B

_SETTING = re.compile(r"\$\{([^}:]+)(?::[^}]*)?\}")

End = Kernel | System | Then
Result = int | End
"""Of a command: 0, an error number, or the end of iPXE."""


class Host(Protocol):
    """What a script runs in."""

    machine: Running
    settings: dict[str, str]

    def fetch(self, url: str) -> Flow[Body | Failure]: ...

    def system_on_disk(self) -> System | None: ...

    def configure(self) -> Flow[bool]:
        """By DHCP, once more."""
        ...


class Script:
    """One run of one script. Ends with what iPXE ends with."""

    def __init__(self, text: str, url: str, host: Host) -> None:
        self._lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
        self._url = url
        self._host = host
        self._next = 0
        self._kernel: Kernel | None = None
        self._ramdisk = ""

    def run(self) -> Flow[End]:
        machine = self._host.machine
        commands, since_s = 0, machine.now_s
        while self._next < len(self._lines):
            line = self._lines[self._next]
            self._next += 1
            result = yield from self._line(line)
            if not isinstance(result, int):
                return result
            if result:
                machine.say(f"Could not boot image: {_error(result)}")
                return Then.NEXT_DEVICE
            commands = commands + 1 if machine.now_s == since_s else 0
            since_s = machine.now_s
            if commands > MAX_COMMANDS:
                yield from machine.stop("its boot script goes round and round")
        return Then.NEXT_DEVICE

    def _line(self, line: str) -> Flow[Result]:
        if line.startswith(":"):
            return 0
        # A line is expanded as a whole, before any of its commands runs.
        command: list[str] = []
        wanted, code = True, 0
        for word in (*self._expanded(line).split(), ";"):
            if word not in ("||", "&&", ";") and not word.startswith("#"):
                command.append(word)
                continue
            if wanted:
                result = (yield from self._execute(command)) if command else 0
                if not isinstance(result, int):
                    return result
                code = result
                if code:  # as in C, success leaves the last error
                    self._host.settings["errno"] = f"{code:08x}"
            command = []
            if word.startswith("#"):
                break
            wanted = {"||": code != 0, "&&": code == 0, ";": True}[word]
        return code

    def _execute(self, command: list[str]) -> Flow[Result]:
        name, *arguments = command
        handler = _COMMANDS.get(name)
        if handler is None:
            self._host.machine.say(f"{name}: command not found")
            return NO_COMMAND
        result = handler(self, arguments)
        if isinstance(result, Generator):
            return (yield from result)
        return result

    def _expanded(self, line: str) -> str:
        return _SETTING.sub(lambda found: self._host.settings.get(found[1], ""), line)

    # --- commands ----------------------------------------------------------------------------------

    def _echo(self, arguments: list[str]) -> Result:
        self._host.machine.say(" ".join(arguments))
        return 0

    def _set(self, arguments: list[str]) -> Result:
        if not arguments:
            return BAD_ARGUMENT
        self._host.settings[_plain(arguments[0])] = " ".join(arguments[1:])
        return 0

    def _inc(self, arguments: list[str]) -> Result:
        try:
            name, by = _plain(arguments[0]), int(arguments[1], 0) if len(arguments) > 1 else 1
            number = int(self._host.settings.get(name) or "0", 0) + by
        except (IndexError, ValueError):
            return BAD_ARGUMENT
        self._host.settings[name] = str(number)
        return 0

    def _iseq(self, arguments: list[str]) -> Result:
        if len(arguments) != 2:
            return BAD_ARGUMENT
        return 0 if arguments[0] == arguments[1] else BAD_ARGUMENT

    def _isset(self, arguments: list[str]) -> Result:
        return 0 if arguments else BAD_ARGUMENT

    def _goto(self, arguments: list[str]) -> Result:
        label = ":" + (arguments[0] if arguments else "")
        for number, line in enumerate(self._lines):
            if line.split(" ")[0] == label:
                self._next = number
                return 0
        return NO_LABEL

    def _sleep(self, arguments: list[str]) -> Flow[Result]:
        if not arguments or not arguments[0].isdigit():
            return BAD_ARGUMENT
        yield from self._host.machine.sleep(float(arguments[0]))
        return 0

    def _load_kernel(self, arguments: list[str]) -> Flow[Result]:
        given = _without_options(arguments)
        url = yield from self._load(given)
        if isinstance(url, int):
            return url
        self._kernel = Kernel(url, "", " ".join(given[1:]))
        return 0

    def _load_ramdisk(self, arguments: list[str]) -> Flow[Result]:
        url = yield from self._load(_without_options(arguments))
        if isinstance(url, int):
            return url
        self._ramdisk = url
        return 0

    def _load(self, arguments: list[str]) -> Flow[str | int]:
        if not arguments:
            return BAD_ARGUMENT
        url = urljoin(self._url, arguments[0])
        got = yield from self._host.fetch(url)
        if isinstance(got, Failure):
            return number(got)
        return url

    def _free(self, arguments: list[str]) -> Result:
        self._kernel, self._ramdisk = None, ""
        return 0

    def _boot(self, arguments: list[str]) -> Result:
        if self._kernel is None:
            return BAD_FORMAT
        return Kernel(self._kernel.url, self._ramdisk, self._kernel.command_line)

    def _sanboot(self, arguments: list[str]) -> Result:
        self._host.machine.say("Booting from SAN device 0x80")
        system = self._host.system_on_disk()
        if system is None:
            self._host.machine.say(f"Boot from SAN device 0x80 failed: {_error(BAD_FORMAT)}")
            return BAD_FORMAT
        return system

    def _chain(self, arguments: list[str]) -> Flow[Result]:
        given = _without_options(arguments)
        if not given:
            return BAD_ARGUMENT
        url = urljoin(self._url, given[0])
        got = yield from self._host.fetch(url)
        if isinstance(got, Failure):
            return number(got)
        if got.text is None or not got.text.startswith(MAGIC):
            return BAD_FORMAT
        return (yield from Script(got.text, url, self._host).run())

    def _dhcp(self, arguments: list[str]) -> Flow[Result]:
        return 0 if (yield from self._host.configure()) else TIMED_OUT

    def _exit(self, arguments: list[str]) -> Result:
        return Then.NEXT_DEVICE

    def _reboot(self, arguments: list[str]) -> Result:
        return Then.REBOOT

    def _power_off(self, arguments: list[str]) -> Result:
        return Then.POWER_OFF

    def _shell(self, arguments: list[str]) -> Flow[Result]:
        self._host.machine.say("iPXE>")
        yield from self._host.machine.stop("waits for somebody to type, at iPXE's prompt")
        return 0


Handler = Callable[[Script, list[str]], Result | Flow[Result]]

_COMMANDS: Mapping[str, Handler] = {
    "echo": Script._echo,
    "set": Script._set,
    "inc": Script._inc,
    "iseq": Script._iseq,
    "isset": Script._isset,
    "goto": Script._goto,
    "sleep": Script._sleep,
    "kernel": Script._load_kernel,
    "initrd": Script._load_ramdisk,
    "imgfetch": Script._load_ramdisk,
    "imgfree": Script._free,
    "boot": Script._boot,
    "sanboot": Script._sanboot,
    "chain": Script._chain,
    "dhcp": Script._dhcp,
    "ifconf": Script._dhcp,
    "exit": Script._exit,
    "reboot": Script._reboot,
    "poweroff": Script._power_off,
    "shell": Script._shell,
}

_WITH_VALUE = frozenset({"--name", "-n", "--timeout", "-t", "--drive", "-d"})


def _without_options(arguments: list[str]) -> list[str]:
    """Options end with the first word that is none: what follows is a kernel's."""
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in _WITH_VALUE and rest:
            rest.pop(0)
    return rest


def _plain(setting: str) -> str:
    """Its name without its type."""
    return setting.partition(":")[0]


def number(failure: Failure) -> int:
    """iPXE's, of what went wrong with a transfer."""
    if failure.why == "HTTP 404" or failure.why.startswith("TFTP error"):
        return NOT_FOUND
    return {"Connection timed out": TIMED_OUT, "TFTP timeout": TIMED_OUT, "Connection reset": RESET}.get(
        failure.why, IO
    )


def _error(code: int) -> str:
    return f"(https://ipxe.org/{code:08x})"
