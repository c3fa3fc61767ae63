"""Outlets of PDUs of the model, by the provisioner's own driver."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.core.outlets import Seen
from provisioner.core.states import PowerState
from provisioner.drivers.outlet_feeds import FeedDevices, SeveralFeeds
from provisioner.drivers.snmp import SnmpDevices
from provisioner.protocols.power import PowerVerb
from tests.model.pdu_bench import STORY, Bench

DISCHARGE_S = 0.1


class ModelledOutlets:
    """`PowerControl` and `Feeds` of a node with two: its PDUs live in the loop that asks first."""

    longest_command_s = 4.0
    discharge_s = DISCHARGE_S

    def __init__(self) -> None:
        self._control: SeveralFeeds | None = None

    async def power_state(self) -> PowerState:
        return await self._made().power_state()

    async def set_power(self, verb: PowerVerb) -> None:
        await self._made().set_power(verb)

    def last_seen(self) -> Mapping[str, Seen]:
        return self._made().last_seen()

    def _made(self) -> SeveralFeeds:
        if self._control is None:
            node = STORY.node("n3")
            feeds = [
                {
                    "driver": "snmp",
                    "family": feed.pdu.family,
                    "address": feed.pdu.address,
                    "outlets": [feed.outlet],
                }
                for feed in node.feeds
            ]
            secret = {f"{number}.community": feed.pdu.community for number, feed in enumerate(node.feeds)}
            devices = FeedDevices({"snmp": SnmpDevices(Bench().snmp, discharge_s=DISCHARGE_S)})
            made = devices("n3", {"feeds": feeds}, secret)
            assert isinstance(made, SeveralFeeds)
            self._control = made
        return self._control
