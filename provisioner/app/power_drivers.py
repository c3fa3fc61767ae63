"""The table of power drivers."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from provisioner.config.settings import Settings
from provisioner.drivers.ipmi import IpmiDevices
from provisioner.drivers.outlet_command import CommandDevices
from provisioner.drivers.outlet_feeds import FeedDevices
from provisioner.drivers.outlet_http import HttpDevices
from provisioner.drivers.outlet_iboot import IbootDevices
from provisioner.drivers.snmp import SnmpDevices
from provisioner.drivers.snmp_messages import Messages
from provisioner.protocols.children import Children
from provisioner.protocols.power import DeviceFactory

REAL_POWER = ("ipmi", "snmp", "iboot", "http", "command", "feeds")

COMMANDS_AT_ONCE = {"snmp": 6, "feeds": 6}
"""To one device, where not one: these keep each PDU to one command at a time themselves, and by SNMP make one
message of what several nodes ask."""


def power_drivers(
    settings: Settings, children: Children, client: httpx.AsyncClient, messages: Messages
) -> Mapping[str, DeviceFactory]:
    power = settings.power
    outlets: dict[str, DeviceFactory] = {
        "snmp": SnmpDevices(messages, discharge_s=power.discharge_s, timeout_s=power.snmp_timeout_s),
        "iboot": IbootDevices(discharge_s=power.discharge_s),
        "http": HttpDevices(client, discharge_s=power.discharge_s),
        "command": CommandDevices(
            children, power.commands, discharge_s=power.discharge_s, timeout_s=power.command_timeout_s
        ),
    }
    feeds = FeedDevices(outlets)
    return {"ipmi": IpmiDevices(children), **outlets, "feeds": feeds}
