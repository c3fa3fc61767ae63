"""TerminateInstances, StopInstances, StartInstances, RebootInstances: all that are named, or none."""

from __future__ import annotations

from collections.abc import Callable

from provisioner.api import instance_orders, instance_power
from provisioner.api.ec2.call import Call, Members
from provisioner.api.ec2.errors import Ec2Error, missing, unsupported
from provisioner.api.ec2.instance_states import PENDING, RUNNING, STOPPED, STOPPING
from provisioner.api.ec2.instances import Seen, look, named_instances
from provisioner.api.instance_power import Change
from provisioner.protocols.store import Tx

Changes = Callable[[Seen], None]


def terminate_instances(tx: Tx, call: Call) -> Members:
    def change(seen: Seen) -> None:
        instance_orders.delete(tx, call.context.who, seen.instance.id)

    return {"TerminatingInstances": _changed(tx, call, change)}


def stop_instances(tx: Tx, call: Call) -> Members:
    """By the operating system, which has a minute; by force, at once."""
    if call.given.get("Hibernate", False):
        raise unsupported("Hibernation")
    force = call.given.get("Force", False)

    def change(seen: Seen) -> None:
        _check(seen, "stopped", RUNNING, STOPPING, STOPPED)
        if seen.state is RUNNING or (seen.state is STOPPING and force):
            _order(tx, call, seen, Change.STOP, force=force)

    return {"StoppingInstances": _changed(tx, call, change)}


def start_instances(tx: Tx, call: Call) -> Members:
    def change(seen: Seen) -> None:
        # What was last seen running may have switched itself off since: its owner makes sure that it is on.
        _check(seen, "started", STOPPED, RUNNING)
        _order(tx, call, seen, Change.START)

    return {"StartingInstances": _changed(tx, call, change)}


def reboot_instances(tx: Tx, call: Call) -> Members:
    def change(seen: Seen) -> None:
        _check(seen, "rebooted", RUNNING)
        _order(tx, call, seen, Change.REBOOT)

    _changed(tx, call, change)
    return {}


def _changed(tx: Tx, call: Call, change: Changes) -> list[Members]:
    if not call.given["InstanceIds"]:
        raise missing("InstanceId")
    before = look(tx, call, named_instances(tx, call))
    for seen in before:
        change(seen)
    after = look(tx, call, named_instances(tx, call))
    return [
        {
            "InstanceId": then.id,
            "PreviousState": then.state.members(),
            "CurrentState": now.state.members(),
        }
        for then, now in zip(before, after, strict=True)
    ]


def _check(seen: Seen, what: str, *states: object) -> None:
    if seen.state not in states:
        starting = " (it is being started)" if seen.state is PENDING else ""
        raise Ec2Error(
            "IncorrectInstanceState",
            f"The instance '{seen.id}' is {seen.state.name}{starting} and can't be {what}.",
        )


def _order(tx: Tx, call: Call, seen: Seen, change: Change, *, force: bool = False) -> None:
    instance_power.order(tx, call.context, seen.instance, change, force=force)
