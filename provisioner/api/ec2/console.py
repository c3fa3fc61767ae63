"""GetConsoleOutput: what the serial console of an instance's machine said."""

from __future__ import annotations

import base64

from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.ids import find_instance
from provisioner.core.ec2_ids import instance_id
from provisioner.core.model import ConsoleTail
from provisioner.core.states import InstanceState
from provisioner.protocols.store import Tx

MAX_BYTES = 65536


def get_console_output(tx: Tx, call: Call) -> Members:
    instance = find_instance(tx, call.tenant, call.given["InstanceId"])
    text, at = "", tx.now()
    # Nothing once it is gone: the machine may be another's.
    if instance.node_id is not None and instance.state is not InstanceState.DELETED:
        told, own = tx.get(ConsoleTail, instance.node_id), call.context.consoles
        if told is not None and told.instance_id == instance.id:
            text, at = told.text, told.updated_at
        elif own is not None:  # it begins to be told
            text = own.text(instance.node_id, of=instance.id, tail_bytes=MAX_BYTES)
    return {
        "InstanceId": instance_id(instance.id),
        "Output": base64.b64encode(text.encode()).decode("ascii"),
        "Timestamp": at,
    }
