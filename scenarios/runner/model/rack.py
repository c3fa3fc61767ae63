"""The rack of a story: machines, their BMCs and disks, and what they say to the compute hosts' servers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any
from urllib.parse import urlsplit

from bmsim.devices import messages as said
from bmsim.devices.bmc import Act
from bmsim.devices.boot_flags import BootDevice
from bmsim.devices.disk import Disk
from bmsim.devices.firmware import Firmware
from bmsim.devices.machine import Machine, Update
from bmsim.devices.timing import UEFI, Timing
from scenarios.runner.model.agent import ModelAgent
from scenarios.runner.model.bmc import ModelBmc
from scenarios.runner.model.contents import LIBRARY, MIB, ImageServer
from scenarios.runner.model.host import ModelHost
from scenarios.runner.model.netboot import ModelNetboot
from scenarios.runner.model.systems import ModelSystems, config_drive
from scenarios.runner.model.wires import JITTER_S, LATENCY_S, Link, Wires
from scenarios.runner.model.world_time import chance
from scenarios.runner.processes import as_world
from scenarios.runner.story import Story, StoryNode

PACE = 0.1
"""Machines of a kind differ by so much."""

FIRMWARE = {"bios": Firmware.BIOS_IPXE, "uefi": Firmware.OVMF}
OWN_ORDER = (BootDevice.DISK,)
"""As machines of a rack come: the network is tried when they are told to."""

SYSTEMS = ModelSystems()
LOADER_BYTES = MIB
SCRIPT_BYTES = 600
RAMDISK_BYTES: Mapping[str, int] = {"agent-kernel": 8 * MIB, "agent-ramdisk": 26 * MIB}

RIVAL, RIVAL_LEASE = "10.99.0.1", "10.99.0.50"
"""Of a second DHCP server, and what it offers."""

HELLO_RETRY_S = (0.2, 0.4, 0.8, 1.6, 3.2, 5.0)
HELLO_EVERY_S = 30.0
PHONE_HOME_TRIES = 30
PHONE_HOME_RETRY_S = 10.0

PHONE_HOME = re.compile(r"http://([0-9.]+):\d+(/phone-home/([0-9A-Za-z]+))")

Note = Callable[..., None]


class ModelNode:
    """One machine with what belongs to it. `bmsim.faces.control.Machine` for its BMC, `agent.Host` for its
    agent."""

    def __init__(
        self,
        spec: StoryNode,
        wires: Wires,
        hosts: Callable[[], Sequence[ModelHost]],
        images: ImageServer,
        note: Note,
        random: Random,
    ) -> None:
        self.name, self.mac, self.arch = spec.name, spec.mac, spec.arch
        self.cpus, self.memory_mib = spec.cpus, spec.memory_mib
        self.disk = Disk(spec.disk_mib * MIB, strikes=self._struck)
        self.drives: dict[str, Mapping[str, str]] = {}
        self.address = ""
        self.addresses: dict[str, ModelNode] = {}  # of the whole rack
        self.agent: ModelAgent | None = None
        self.running_image = ""
        self.printed: list[str] = []
        self._wires = wires
        self._hosts = hosts
        self._images = images
        self._note = note
        self._loop = asyncio.get_running_loop()
        self._random = random
        self._timers: list[asyncio.TimerHandle] = []  # of the system that runs
        self._wake: asyncio.TimerHandle | None = None
        self._faults: dict[str, Mapping[str, Any]] = {}
        self._was_on = False
        timing = UEFI if spec.firmware == "uefi" else Timing()
        pace = 1 + PACE * (2 * random.random() - 1)
        self.machine = Machine(
            (spec.mac,),
            SYSTEMS,
            firmware=FIRMWARE[spec.firmware],
            order=OWN_ORDER,
            timing=timing.scaled(pace),
            disk=self.disk,
        )
        self.bmc = ModelBmc(
            spec.name,
            spec.bmc_user,
            spec.bmc_password,
            self,
            self._loop.time,
            lambda source, name, sender, **detail: note(self.name, source, name, sender, **detail),
        )
        self._kept = b""
        self._hellos: dict[str, Mapping[str, Any]] = {}  # what agents reported, by their tokens

    # --- faults --------------------------------------------------------------------------------

    def inject(self, fault: str, parameters: Mapping[str, Any]) -> None:
        if fault.startswith("bmc.") and fault != "bmc.nic_renamed":
            self.bmc.inject(fault, parameters)
            return
        self._faults[fault] = parameters
        self._faults_changed()
        if fault == "node.power_loss":
            del self._faults[fault]

    def heal(self, fault: str) -> None:
        if fault.startswith("bmc.") and fault != "bmc.nic_renamed":
            self.bmc.heal(fault)
        elif self._faults.pop(fault, None) is not None:
            self._faults_changed()

    def _faults_changed(self) -> None:
        as_world(lambda: self._follow(self.machine.give_faults(self._faults, self._loop.time())))

    def _struck(self, fault: str) -> None:
        self._note(self.name, "fault", "struck", fault=fault)

    def passes(self) -> bool:
        """Whether a message to or from what runs on it gets through its NIC."""
        if self.machine.passes(self._loop.time()):
            return True
        if self.machine.on and "node.dead_nic" in self._faults:
            self._struck("node.dead_nic")
        return False

    def cuts_session(self, written_bytes: int) -> bool:
        fault = self._faults.get("iscsi.session_lost")
        if fault is None or written_bytes < int(fault["after_mib"] or 0) * MIB:
            return False
        return self._loses("iscsi.session_lost")

    # --- what its BMC does with it (`faces.control.Machine`) -------------------------------------

    def is_on(self) -> bool:
        return self.machine.on

    def do(self, act: Act) -> None:
        match act:
            case Act.ON:
                self.feed(said.PowerOn())
            case Act.OFF:
                self.feed(said.PowerOff())
            case Act.CYCLE | Act.RESET:
                self.feed(said.Reset())
            case Act.SHUT_DOWN:
                self.feed(said.ShutDown())
            case _:
                pass

    def boot_next(self, device: BootDevice, kept: bytes) -> None:
        self.machine.boot_next, self._kept = device, kept

    def kept(self) -> bytes:
        return self._kept

    def own_device(self) -> BootDevice:
        return self.machine.own_device

    # --- the machine runs ----------------------------------------------------------------------

    def feed(self, *given: said.Input) -> None:
        as_world(self._feed, given)

    def _feed(self, given: tuple[said.Input, ...]) -> None:
        self._follow(self.machine.update(self._loop.time(), given))

    def _follow(self, update: Update) -> None:
        """Does what the machine had to say, and looks again when it wants to be looked at."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if update.wake_at_s is not None:
            self._wake = self._loop.call_at(update.wake_at_s, self._feed, ())
        for output in update.outputs:
            self._happens(output)
        if self.machine.on is not self._was_on:
            self._was_on = self.machine.on
            self._note(self.name, "machine", "on" if self._was_on else "off")

    def _happens(self, output: said.Output) -> None:
        match output:
            case said.DhcpDiscover():
                self._to_hosts(output, self._discovered)
            case said.DhcpRequest():
                self._to_hosts(output, self._requested)
            case said.TftpRead():
                self._ask_server(output, "tftp", output.server, self._read_by_tftp)
            case said.HttpGet():
                server = urlsplit(output.url).hostname or ""
                self._ask_server(output, "http", server, self._got_by_http)
            case said.Fetched():
                self._fetched(output)
            case said.Console():
                self.printed.append(output.said.decode("utf-8", "replace"))
            case said.Started():
                self._started(output)
            case said.Stopped():
                self._stopped()
            case said.Hung():
                self._note(self.name, "machine", "hung", why=output.why)
            case said.Struck():
                self._struck(output.fault)
            case said.Began():
                self._note(self.name, "machine", "post")
                if output.by_guest:
                    self.bmc.guest_started()

    # --- DHCP ----------------------------------------------------------------------------------

    def _to_hosts(self, message: Any, serve: Callable[[ModelHost, ModelNetboot, Any], None]) -> None:
        self._to_rival(message)
        for host in self._hosts():
            link = Link("dhcp", host.name, self.name)

            def arrived(host: ModelHost = host) -> None:
                if (netboot := host.netboot) is not None:
                    serve(host, netboot, message)

            self._wires.send(link, False, arrived)

    def _to_rival(self, asked: said.DhcpDiscover | said.DhcpRequest) -> None:
        """A second DHCP server on the wire, which answers as soon as ours and knows nothing of it."""
        rival = self._faults.get("dhcp.rival")
        if rival is None or (isinstance(asked, said.DhcpRequest) and asked.server != RIVAL):
            return
        self._struck("dhcp.rival")
        words = (asked.ask, rival["address"] or RIVAL_LEASE, RIVAL, rival["boot_file"])
        answer = said.DhcpOffer(*words) if isinstance(asked, said.DhcpDiscover) else said.DhcpAck(*words)
        self._loop.call_later(2 * LATENCY_S + self._random.random() * JITTER_S, self.feed, answer)

    def _discovered(self, host: ModelHost, netboot: ModelNetboot, asked: said.DhcpDiscover) -> None:
        self._note(self.name, "dhcp", "discover", client=asked.client)
        lease = netboot.discover(asked.mac, asked.architecture, asked.client)
        if lease is None or self._loses("dhcp.lost_offer"):
            return
        self._note(self.name, "dhcp", "offer", host.sender, client=asked.client, exchange=asked.ask)
        offer = said.DhcpOffer(asked.ask, lease.address, lease.server, lease.boot_file)
        self._back("dhcp", host, offer)

    def _requested(self, host: ModelHost, netboot: ModelNetboot, asked: said.DhcpRequest) -> None:
        if asked.server != netboot.address:
            return
        lease = netboot.request(asked.mac, asked.architecture, asked.client)
        if lease is None:
            self._back("dhcp", host, said.DhcpNak(asked.ask))
            return
        self._note(self.name, "dhcp", "ack", host.sender, client=asked.client)
        self._takes(lease.address)
        self._back("dhcp", host, said.DhcpAck(asked.ask, lease.address, lease.server, lease.boot_file))

    def _takes(self, address: str) -> None:
        self.address = address
        self.addresses[address] = self

    def _loses(self, fault: str) -> bool:
        parameters = self._faults.get(fault)
        if parameters is None:
            return False
        count = parameters.get("count")
        if count is not None:
            if count <= 0:
                return False
            self._faults[fault] = {**parameters, "count": count - 1}
        self._struck(fault)
        return True

    # --- TFTP and HTTP -------------------------------------------------------------------------

    def _ask_server(
        self,
        message: Any,
        protocol: str,
        server: str,
        serve: Callable[[ModelHost, ModelNetboot, Any], None],
    ) -> None:
        host = next((one for one in self._hosts() if one.netboot and one.netboot.address == server), None)
        if host is None:
            return  # nobody is there: silence
        link = Link(protocol, host.name, self.name)

        def arrived() -> None:
            if (netboot := host.netboot) is not None:
                serve(host, netboot, message)

        self._wires.send(link, False, arrived)

    def _read_by_tftp(self, host: ModelHost, netboot: ModelNetboot, asked: said.TftpRead) -> None:
        if not asked.received_bytes:
            self._note(self.name, "tftp", "read", file=asked.file)
        if netboot.tftp(asked.address, asked.file) is None:
            self._note(self.name, "tftp", "refused", host.sender, file=asked.file)
            self._back("tftp", host, said.TftpError(asked.ask))
            return
        stall = self._faults.get("tftp.stall")
        if stall is not None:
            self._struck("tftp.stall")
            received = min(LOADER_BYTES - 1, 512 * int(stall["after_block"]))
            self._back("tftp", host, said.TftpData(asked.ask, LOADER_BYTES, received, False))
            return
        self._back("tftp", host, said.TftpData(asked.ask, LOADER_BYTES))

    def _got_by_http(self, host: ModelHost, netboot: ModelNetboot, asked: said.HttpGet) -> None:
        self._note(self.name, "http", "get", file=asked.url.rpartition("/")[2])
        served = netboot.http(asked.address, urlsplit(asked.url).path)
        if served.text is not None:
            answer = said.HttpAnswer(asked.ask, 200, len(served.text), served.text)
        elif served.file is not None:
            content = self._images.content_at(served.file)
            size = content.size_bytes if content else RAMDISK_BYTES.get(served.file.name, LOADER_BYTES)
            answer = said.HttpAnswer(asked.ask, 200, size)
        else:
            answer = said.HttpAnswer(asked.ask, served.status)
            self._note(self.name, "http", "refused", host.sender, file=asked.url.rpartition("/")[2])
        self._back("http", host, answer)

    def _fetched(self, fetched: said.Fetched) -> None:
        by_http = fetched.source.startswith("http")
        server = urlsplit(fetched.source).hostname if by_http else None
        file = fetched.source.rpartition("/")[2]
        for host in self._hosts():
            netboot = host.netboot
            if netboot is None or (server is not None and netboot.address != server):
                continue
            source = "http" if by_http else "tftp"
            meant_for = netboot.offered_to(fetched.address) or self.name
            detail = {"file": file, "bytes": fetched.size_bytes, "offered_to": meant_for}
            self._note(self.name, source, "sent", host.sender, **detail)
            tell = netboot.http_sent if by_http else netboot.tftp_sent
            tell(fetched.address, file, fetched.size_bytes, fetched.seconds)
            return

    def _back(self, protocol: str, host: ModelHost, answer: said.Answer) -> None:
        self._wires.send(Link(protocol, host.name, self.name), True, lambda: self.feed(answer))

    # --- systems -------------------------------------------------------------------------------

    def _started(self, started: said.Started) -> None:
        self._takes(started.address)
        if started.kind is said.SystemKind.AGENT:
            self._agent_started(started.command_line)
        else:
            self.running_image = started.name
            self._note(self.name, "machine", "instance", image=started.name)
            content = LIBRARY.get(started.name)
            self.printed.append("\r\nlogin: ")
            if content is not None and content.phones_home:
                self._phone_home(0)

    def _agent_started(self, command_line: str) -> None:
        words = dict(word.split("=", 1) for word in command_line.split() if "=" in word)
        boot_id = f"{self._random.getrandbits(128):032x}"
        self.agent = ModelAgent(
            self._loop,
            self,
            node_id=words["provisioner.node"],
            boot_id=boot_id,
            token=words["provisioner.token"],
            note=lambda source, name, sender, **detail: self._note(self.name, source, name, sender, **detail),
        )
        self._note(self.name, "machine", "agent", boot_id=boot_id)
        late = self._faults.get("agent.late")
        if late is not None and late["delay_s"]:
            self._struck("agent.late")
        self._later(float(late["delay_s"]) if late else 0.0, self._announce, words, 0)

    def _announce(self, words: Mapping[str, str], tries: int) -> None:
        agent = self.agent
        if agent is None:
            return
        url = urlsplit(words["provisioner.announce"])
        host = self._host_at(url.hostname or "")
        told = False
        detail = {
            "node": agent.node_id,
            "boot_id": agent.boot_id,
            "port": 9999,
            "version": "1.0",
            "mac": self.mac,
            "address": self.address,
        }
        if host is not None and self._reaches(host):
            netboot = host.netboot
            if netboot is not None:
                told = self._says_hello(host, netboot, agent.token, detail)
                self._say_again(host, netboot, agent.token)
        pause_s = HELLO_EVERY_S if told else HELLO_RETRY_S[min(tries, len(HELLO_RETRY_S) - 1)]
        self._later(pause_s, self._announce, words, 0 if told else tries + 1)

    def _says_hello(
        self, host: ModelHost, netboot: ModelNetboot, token: str, detail: Mapping[str, Any]
    ) -> bool:
        status = netboot.hello(self.address, token, detail)
        told = status == 200
        self._note(self.name, "http", "sent" if told else "refused", host.sender, file="hello")
        self._note(self.name, "agent", "hello" if told else "refused", host.sender, status=status)
        if told:
            self._hellos[token] = detail
        return told

    def _say_again(self, host: ModelHost, netboot: ModelNetboot, token: str) -> None:
        """Who repeats what agents have reported: this one's report, or the last of a deploy before."""
        earlier = [known for known in self._hellos if known != token]
        for fault, again in (("agent.twice", token), ("agent.stale_token", earlier[-1] if earlier else "")):
            if fault in self._faults and again in self._hellos:
                self._struck(fault)
                self._says_hello(host, netboot, again, self._hellos[again])

    def _phone_home(self, tries: int) -> None:
        drive = self.drives.get(config_drive(self.disk), {})
        call = PHONE_HOME.search(drive.get("vendor-data", ""))
        if call is None:
            return
        host = self._host_at(call[1])
        netboot = host.netboot if host is not None else None
        heard = False
        if host is not None and netboot is not None and self._reaches(host):
            heard = netboot.phone_home(self.address, call[3]) == 200
            name = "sent" if heard else "refused"
            self._note(self.name, "http", name, host.sender, file="phone-home")
        if not heard and tries < PHONE_HOME_TRIES:
            self._later(PHONE_HOME_RETRY_S, self._phone_home, tries + 1)

    def _reaches(self, host: ModelHost) -> bool:
        """Whether a connection to one of its servers can be made."""
        return self.passes() and not self._wires.cut(Link("http", host.name, self.name))

    def _host_at(self, address: str) -> ModelHost | None:
        return next((one for one in self._hosts() if one.netboot and one.netboot.address == address), None)

    def _later(self, seconds: float, act: Callable[..., None], *words: Any) -> None:
        """Of the system that runs: it comes to nothing when that stops."""
        self._timers = [timer for timer in self._timers if timer.when() > self._loop.time()]
        self._timers.append(as_world(self._loop.call_later, seconds, act, *words))

    def _stopped(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self.agent is not None:
            self.agent.die()
            self.agent = None
        self.running_image = ""


class ModelRack:
    """All nodes, by what reaches them."""

    def __init__(
        self,
        story: Story,
        wires: Wires,
        hosts: Callable[[], Sequence[ModelHost]],
        images: ImageServer,
        note: Note,
        seed: int,
    ) -> None:
        self._nodes = {
            node.name: ModelNode(node, wires, hosts, images, note, chance(seed, f"machine {node.name}"))
            for node in story.nodes
        }
        self._by_bmc = {node.bmc_address: self._nodes[node.name] for node in story.nodes}
        self._by_address: dict[str, ModelNode] = {}  # whoever took it last
        for node in self._nodes.values():
            node.addresses = self._by_address

    def node(self, name: str) -> ModelNode:
        return self._nodes[name]

    def printed(self, name: str) -> str:
        node = self._nodes.get(name)
        return "".join(node.printed) if node is not None else ""

    def bmc_at(self, address: str) -> ModelBmc | None:
        node = self._by_bmc.get(address)
        return node.bmc if node is not None else None

    def _at(self, address: str) -> ModelNode | None:
        """The node that has this address now, if its NIC works."""
        known = self._by_address.get(address)
        return known if known is not None and known.passes() else None

    def name_at(self, address: str) -> str:
        known = self._by_address.get(address)
        return known.name if known is not None else ""

    def agent_at(self, address: str) -> ModelAgent | None:
        node = self._at(address)
        return node.agent if node is not None else None

    def refuses_at(self, address: str) -> bool:
        node = self._at(address)
        return node is not None and bool(node.running_image)

    def serves_ssh(self, address: str) -> bool:
        node = self._at(address)
        content = LIBRARY.get(node.running_image) if node is not None else None
        return content is not None and content.ssh
