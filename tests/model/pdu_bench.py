"""PDUs of the model on a bench: asked by the messages of a compute host, over wires that can be broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from bmsim.devices.pdu_mib import SYS_UP_TIME
from bmsim.faults.catalogue import completed
from provisioner.core.errors import DeviceUnreachable
from provisioner.core.pdus.families import FAMILIES
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent
from scenarios.runner.addresses import numbered_host, numbered_node
from scenarios.runner.model.feeds import ModelFeeds
from scenarios.runner.model.snmp import ModelSnmp
from scenarios.runner.model.wires import Wires
from scenarios.runner.model.world_time import chance
from scenarios.runner.story import POWERS, Story
from scenarios.runner.virtual_time import run

STORY = Story(
    name="a-rack",
    hosts=(numbered_host(1),),
    nodes=tuple(numbered_node(number, f"n{number}", power=power) for number, power in enumerate(POWERS, 1)),
    requests=(),
)
"""n1 with a BMC, n2 on outlet 2 of a1, n3 on outlets 3 of a1 and b1."""


class Bench:
    """power: of machines, in the order in which it came and went. noted: what PDUs wrote down."""

    def __init__(self) -> None:
        self.power: list[tuple[str, bool]] = []
        self.noted: list[tuple[str, str, dict[str, Any]]] = []
        self._broken: list[tuple[str, tuple[str, str]]] = []
        self.feeds = ModelFeeds(STORY, lambda node, on: self.power.append((node, on)), self._note)
        self.lost: list[str] = []  # of which node each was told
        self.wires = Wires(chance(1, "wires"), lambda fault, link, what: self.lost.append(link.node))
        self.snmp = ModelSnmp("ch1", "ch1#1", self.wires, self.feeds.pdu_at)

    def _note(self, node: str, source: str, name: str, sender: str, **detail: Any) -> None:
        self.noted.append((node, f"{source}.{name}", {**detail, "sender": sender}))

    def struck(self, fault: str) -> set[str]:
        return {
            node for node, name, detail in self.noted if name == "fault.struck" and detail["fault"] == fault
        }

    def commands(self) -> list[str]:
        """That PDUs carried out."""
        return [name for _, name, _ in self.noted if name.startswith("pdu.outlet.")]

    async def switch(self, pdu: str, outlet: int, on: bool, community: str = "") -> None:
        spec = next(one for one in STORY.pdus if one.name == pdu)
        family = FAMILIES[spec.family]
        command = family.on if on else family.off
        credentials = Credentials(version="2c", community=community or spec.community)
        oid = family.oid(command.oid, outlet)
        await self.snmp.set("switch", Agent(pdu, spec.address, 161), credentials, oid, command.value)

    def breaks(self, fault: str, node: str = "", host: str = "", **given: Any) -> None:
        """The wires. Heals what it broke before."""
        for name, of in self._broken:
            self.wires.heal(name, *of)
        self._broken = [(fault, (node, host))]
        self.wires.inject(fault, node, host, completed(fault, given), chance(1, fault))

    async def reached(self) -> set[str]:
        """The PDUs that answer."""
        found = set()
        for pdu in ("a1", "b1"):
            with suppress(DeviceUnreachable):
                await self.state(pdu, 3)
                found.add(pdu)
        return found

    async def state(self, pdu: str, outlet: int) -> str:
        spec = next(one for one in STORY.pdus if one.name == pdu)
        family = FAMILIES[spec.family]
        credentials = Credentials(version="2c", community=spec.community)
        oids = [family.oid(family.state, outlet)]
        (value,) = await self.snmp.get("look", Agent(pdu, spec.address, 161), credentials, oids)
        assert isinstance(value, int)
        return str(family.read(value))

    async def ticks(self, pdu: str) -> object:
        """Its sysUpTime."""
        spec = next(one for one in STORY.pdus if one.name == pdu)
        credentials = Credentials(version="2c", community=spec.community)
        (value,) = await self.snmp.get("look", Agent(pdu, spec.address, 161), credentials, [SYS_UP_TIME])
        return value


def play(story: Callable[[Bench], Awaitable[None]]) -> Bench:
    async def main() -> Bench:
        bench = Bench()
        await story(bench)
        return bench

    return run(main(), 0)
