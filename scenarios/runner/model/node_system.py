"""What runs on a modelled machine: the deploy ramdisk with its agent, or an instance."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol
from urllib.parse import urlsplit

from bmsim.devices import messages as said
from scenarios.runner.model.agent import ModelAgent
from scenarios.runner.model.agent_commands import Host
from scenarios.runner.model.contents import LIBRARY
from scenarios.runner.model.host import ModelHost
from scenarios.runner.model.netboot import ModelNetboot
from scenarios.runner.model.node_faults import NodeFaults
from scenarios.runner.model.roots import NfsRoot, Root
from scenarios.runner.model.systems import config_drive
from scenarios.runner.model.wires import Link, Wires
from scenarios.runner.processes import as_world

HELLO_RETRY_S = (0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
HELLO_EVERY_S = 30.0
PHONE_HOME_TRIES = 30
PHONE_HOME_RETRY_S = 10.0

PHONE_HOME = re.compile(r"http://([0-9.]+):\d+(/phone-home/([0-9A-Za-z]+))")

Note = Callable[..., None]


class RunsSystems(Host, Protocol):
    """The machine that it runs on."""

    address: str

    def passes(self) -> bool: ...

    def mounted(self, root: NfsRoot) -> Root | None: ...


class NodeSystem:
    """Of one machine; told of what it starts and stops."""

    def __init__(
        self,
        machine: RunsSystems,
        wires: Wires,
        hosts: Callable[[], Sequence[ModelHost]],
        faults: NodeFaults,
        note: Note,
        random: Random,
    ) -> None:
        self.agent: ModelAgent | None = None
        self.image = ""
        self._root: Root | None = None  # by NFS, of the instance that runs
        self.printed: list[str] = []
        self._machine = machine
        self._wires = wires
        self._hosts = hosts
        self._faults = faults
        self._note = note
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._timers: list[asyncio.TimerHandle] = []
        self._hellos: dict[str, Mapping[str, Any]] = {}  # what agents reported, by their tokens
        self._heard: dict[str, tuple[str, str]] = {}  # of each token: which host heard it last, of which boot

    def started(self, started: said.Started) -> None:
        if started.kind is said.SystemKind.AGENT:
            self._agent_started(started.command_line)
            return
        self.image = started.name
        self._note("machine", "instance", image=started.name)
        content = LIBRARY.get(started.name)
        by_nfs = NfsRoot.named_in(started.command_line)
        self._root = self._machine.mounted(by_nfs) if by_nfs is not None else None
        if content is not None and content.phones_home:
            self.printed.append("\r\nlogin: ")
            self._phone_home(0)

    def stopped(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self.agent is not None:
            self.agent.die()
            self.agent = None
        self.image = ""

    # --- the agent -----------------------------------------------------------------------------

    def _agent_started(self, command_line: str) -> None:
        words = dict(word.split("=", 1) for word in command_line.split() if "=" in word)
        boot_id = f"{self._random.getrandbits(128):032x}"
        self.agent = ModelAgent(
            self._loop,
            self._machine,
            node_id=words["provisioner.node"],
            boot_id=boot_id,
            token=words["provisioner.token"],
            note=self._note,
            fence=int(words["provisioner.fence"]),
        )
        self._note("machine", "agent", boot_id=boot_id)
        late = self._faults.find("agent.late")
        if late is not None and late["delay_s"]:
            self._faults.struck("agent.late")
        self._later(float(late["delay_s"]) if late else 0.0, self._announce, words, 0)

    def _announce(self, words: Mapping[str, str], tries: int) -> None:
        agent = self.agent
        if agent is None:
            return
        host = self._host_at(urlsplit(words["provisioner.announce"]).hostname or "")
        told = False
        detail = {
            "node": agent.node_id,
            "boot_id": agent.boot_id,
            "port": 9999,
            "version": "1.0",
            "mac": self._machine.mac,
            "address": self._machine.address,
        }
        if host is not None and self._reaches(host) and (netboot := host.netboot) is not None:
            told = self._says_hello(host, netboot, agent.token, detail)
            self._say_again(host, netboot, agent.token)
        pause_s = HELLO_EVERY_S if told else HELLO_RETRY_S[min(tries, len(HELLO_RETRY_S) - 1)]
        self._later(pause_s, self._announce, words, 0 if told else tries + 1)

    def _says_hello(
        self, host: ModelHost, netboot: ModelNetboot, token: str, detail: Mapping[str, Any]
    ) -> bool:
        status = netboot.hello(self._machine.address, token, detail)
        told = status == 200
        # What it repeats to who has heard it is no news, on machines neither; of thousands of nodes that wait
        # for their turn it would be a quarter of all events.
        heard = (host.sender, str(detail["boot_id"]))
        if not told or self._heard.get(token) != heard:
            self._note("http", "sent" if told else "refused", host.sender, file="hello")
            self._note("agent", "hello" if told else "refused", host.sender, status=status)
        if told:
            self._heard[token] = heard
            self._hellos[token] = detail
        return told

    def _say_again(self, host: ModelHost, netboot: ModelNetboot, token: str) -> None:
        """Who repeats what agents have reported: this one's report, or the last of a deploy before."""
        earlier = [known for known in self._hellos if known != token]
        for fault, again in (("agent.twice", token), ("agent.stale_token", earlier[-1] if earlier else "")):
            if fault in self._faults and again in self._hellos:
                self._faults.struck(fault)
                self._says_hello(host, netboot, again, self._hellos[again])

    # --- an instance ---------------------------------------------------------------------------

    def _phone_home(self, tries: int) -> None:
        if self._root is not None:
            vendor_data = self._root.vendor_data
        else:
            drive = self._machine.drives.get(config_drive(self._machine.disk), {})
            vendor_data = drive.get("vendor-data", "")
        call = PHONE_HOME.search(vendor_data)
        if call is None:
            return
        host = self._host_at(call[1])
        netboot = host.netboot if host is not None else None
        heard = False
        if host is not None and netboot is not None and self._reaches(host):
            heard = netboot.phone_home(self._machine.address, call[3]) == 200
            self._note("http", "sent" if heard else "refused", host.sender, file="phone-home")
        if not heard and tries < PHONE_HOME_TRIES:
            self._later(PHONE_HOME_RETRY_S, self._phone_home, tries + 1)

    def _reaches(self, host: ModelHost) -> bool:
        """Whether a connection to one of its servers can be made."""
        return self._machine.passes() and not self._wires.cut(Link("http", host.name, self._machine.name))

    def _host_at(self, address: str) -> ModelHost | None:
        return next((one for one in self._hosts() if one.netboot and one.netboot.address == address), None)

    def _later(self, seconds: float, act: Callable[..., None], *words: Any) -> None:
        """Comes to nothing when the system stops."""
        self._timers = [timer for timer in self._timers if timer.when() > self._loop.time()]
        self._timers.append(as_world(self._loop.call_later, seconds, act, *words))
