"""One message to an outlet of an APC PDU by the wire's `Messages`, from wherever this is run."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Literal

from provisioner.core.errors import ProvisionerError
from provisioner.core.pdus.families import FAMILIES
from provisioner.drivers.snmp_credentials import Credentials
from provisioner.drivers.snmp_messages import Agent, Messages, PysnmpMessages

Verb = Literal["look", "on", "off"]


async def ask(
    messages: Messages, agent: Agent, community: str, outlet: int, verb: Verb, timeout_s: float
) -> str:
    """What came of it: "done", or the error's kind and all of its words."""
    family, credentials = FAMILIES["apc_rackpdu"], Credentials(version="2c", community=community)
    try:
        if verb == "look":
            oids = [family.oid(family.state, outlet)]
            await messages.get("look", agent, credentials, oids, timeout_s=timeout_s)
        else:
            command = family.on if verb == "on" else family.off
            oid = family.oid(command.oid, outlet)
            await messages.set("switch", agent, credentials, oid, command.value, timeout_s=timeout_s)
    except ProvisionerError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


async def _main(name: str, address: str, community: str, outlet: int, verb: Verb, timeout_s: float) -> str:
    messages = PysnmpMessages()
    try:
        return await ask(messages, Agent(name, address, 161), community, outlet, verb, timeout_s)
    finally:
        messages.close()


if __name__ == "__main__":
    print(asyncio.run(_main(*json.loads(sys.argv[1]))))
