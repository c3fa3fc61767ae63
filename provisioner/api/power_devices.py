"""What is kept of a node's power device, and whose its outlets are."""

from __future__ import annotations

import json
from typing import Any

from provisioner.api.context import ApiContext
from provisioner.config.node_power import PowerEntry
from provisioner.core.errors import Conflict, InvalidInput
from provisioner.core.feeds import feeds_of, units_advice
from provisioner.core.model import Node, Outlet
from provisioner.protocols.store import Tx


def columns(context: ApiContext, power: PowerEntry) -> dict[str, Any]:
    """Of the node's row."""
    secret = power.secrets()
    return {
        "power_driver": power.driver,
        "power_address": power.shown(),
        "power_secret_sealed": context.seal(json.dumps(secret)) if secret else "",
    }


def check(tx: Tx, context: ApiContext, tried: str, power: PowerEntry, node_id: str | None = None) -> None:
    """Whether the node may be switched by it. Raises InvalidInput for a driver that no compute host has;
    Conflict when an outlet feeds another node: two on one would switch each other off.

    node_id: None: of one that isn't there yet
    """
    if power.driver not in context.power_drivers:
        raise InvalidInput(
            tried,
            field="power.driver",
            answer=f"this provisioner can't use {power.driver}",
            advice=f"Use {' or '.join(sorted(context.power_drivers))}, or change `rack` in the configuration",
        )
    feeds = feeds_of(power.driver, power.shown())
    for outlet in tx.find(Outlet, where={"name": tuple(feeds)}) if feeds else ():
        if outlet.node_id == node_id:
            continue
        if (other := tx.get(Node, outlet.node_id)) is None:
            # It was deleted by an API of the version before, which knows no record of outlets.
            tx.delete(Outlet, outlet.id)
            continue
        held = {one.name for one in tx.find(Outlet, where={"node_id": other.id})}
        common = {called for name, called in feeds.items() if name in held}
        outlets = ", ".join(sorted(common))
        raise Conflict(
            tried,
            answer=f"{outlets} feeds node {other.name} already",
            advice="Look where its cable ends, and correct power of the one, or of the other (provisioner "
            f"node power-device){units_advice(outlets)}",
        )


def take_outlets(tx: Tx, node_id: str, power: PowerEntry) -> None:
    """In place of those that the node had. Raises Conflict when one has just been taken by another."""
    wanted = dict.fromkeys(feeds_of(power.driver, power.shown()))
    for outlet in tx.find(Outlet, where={"node_id": node_id}):
        if outlet.name in wanted:
            del wanted[outlet.name]
        else:
            tx.delete(Outlet, outlet.id)
    tx.insert(*(Outlet(id=name, name=name, node_id=node_id) for name in wanted))
