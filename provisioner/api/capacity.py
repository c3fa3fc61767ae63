"""What compute hosts can still offer, from the store."""

from __future__ import annotations

from provisioner.api import views
from provisioner.core.capacity import Size, largest
from provisioner.core.model import Host, Node
from provisioner.core.states import ProvisionState
from provisioner.protocols.store import Tx


def offered_by(tx: Tx, host: Host) -> Size | None:
    """The largest node that can still be had of this host. None: none can."""
    if not views.lease_left_s(host, tx.now()):
        return None
    where = {"owner": host.id, "state": ProvisionState.AVAILABLE, "maintenance": False, "instance_id": None}
    return largest(tx.pick(Node, *Size._fields, where=where))
