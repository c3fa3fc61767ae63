"""What an instance is told about itself, on whatever way it gets there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from provisioner.compute.config_drive import files
from provisioner.compute.context import StepContext
from provisioner.core.fields import changed
from provisioner.core.model import Instance
from provisioner.protocols.store import Tx

CALLS = "calls"
"""A fact of a work: the base URL of the host that its instance was told to call."""


async def config_files(ctx: StepContext, instance: Instance) -> Mapping[str, str]:
    """Hostname, keys and user data by file name. It phones home to this host with a new token; both are
    stored at the latest with the end of the step: nothing of the instance runs before that."""
    token = ctx.edges.ids.secret()
    token_sha256 = hashlib.sha256(token.encode()).hexdigest()

    def note(tx: Tx) -> None:
        tx.update(Instance, instance.id, {"phone_home_sha256": token_sha256})

    ctx.ledger.note({}, also=note)
    ctx.ledger.note_facts({CALLS: ctx.edges.node_url})
    ctx.instance = changed(instance, phone_home_sha256=token_sha256)
    return files(instance, phone_home_url=f"{ctx.edges.node_url}/phone-home/{token}")


def calls_us(ctx: StepContext) -> bool:
    """Whether the instance was told to call this host, rather than one that owned the node before."""
    return bool(ctx.facts.get(CALLS, ctx.edges.node_url) == ctx.edges.node_url)
