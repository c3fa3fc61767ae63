"""What moments may name: the steps of the plans, and what devices tell. Anything else would never come."""

from __future__ import annotations

from collections.abc import Mapping

from bmsim.devices import ipmi_codes
from provisioner.core.plan import PLANS
from provisioner.core.states import ProvisionState

WAYS = ("iscsi", "nfs", "tilera")
"""How nodes get their roots."""


def _steps(*names: str) -> frozenset[str]:
    """Of the first of these plans that there is."""
    plan = next(PLANS[name] for name in names if name in PLANS)
    return frozenset(step.name for step in plan.steps)


DEPLOY_STEPS = {way: _steps(f"deploy-{way}") for way in WAYS}
CLEAN_STEPS = {way: _steps(f"clean-{way}", "clean") for way in WAYS}
ENROL_STEPS = _steps("enrol")
"""Before the story begins."""

DURING: Mapping[str, str] = {
    "agent": "agent_ready",
    "machine.agent": "agent_ready",
    "iscsi": "export_disk",
    "nfs": "make_root",
}
"""Source of events, one of them, or family of faults → the step of a node without which there are none."""

NODE_STATES = tuple(map(str, ProvisionState))

POWER = "chassis.power"

COMMANDS = (
    "session.open",
    *(f"{POWER}.{verb}" for verb in ipmi_codes.POWER_VERBS.values()),
    *("chassis.bootdev.set", "chassis.bootdev.get"),
    *(name for name, _ in ipmi_codes.COMMANDS.values() if name != POWER),
)
"""Of a BMC, as its audit log calls them."""

EVENTS: Mapping[str, tuple[str, ...]] = {
    "bmc": COMMANDS,
    "pdu": ("outlet.on", "outlet.off", "outlet.reboot"),
    "feed": ("power.back", "power.lost"),
    "machine": ("on", "off", "reset", "up", "post", "agent", "instance", "hung"),
    "monitor": ("ifconfig", "/usr/sbin/sshd", "iptables", "dmesg"),
    "dhcp": ("discover", "offer", "request", "ack", "decline", "nak", "release", "inform"),
    "tftp": ("read", "sent", "refused"),
    "http": ("get", "post", "put", "sent", "refused"),
    "iscsi": ("exported", "login", "write", "flushed", "close", "refused"),
    "agent": ("hello", "command", "refused"),
    "step": ("step.started", "step.done", "step.retry", "step.resumed", "step.waiting", "step.failed"),
    "node": ("state",),
    "host": ("killed", "told_to_end", "stopped", "continued", "started", "ended", "crashed"),
    "fault": ("injected", "struck", "healed"),
}
"""Source → names. A moment calls an event SOURCE.NAME: dhcp.ack, bmc.chassis.power.on, step.step.retry."""


SEEN_BY_ONE: Mapping[str, frozenset[str]] = {
    "model": frozenset(
        (
            *("machine.post", "machine.agent", "machine.instance", "machine.hung"),
            *("iscsi.exported", "iscsi.write", "iscsi.flushed"),
            *("agent.refused", "host.ended", "host.crashed"),
        )
    ),
    "machine": frozenset(
        (
            *("machine.reset", "iscsi.login", "iscsi.close"),
            *("dhcp.request", "dhcp.decline", "dhcp.nak", "dhcp.release", "dhcp.inform"),
            *("http.post", "http.put"),
            *("bmc.session.privilege", "bmc.channel.ciphers", "bmc.channel.auth_capabilities"),
        )
    ),
}
"""Fidelity → events that it alone can see: nobody looks into a real machine, and models skip what decides
nothing."""

_OF_FAULTS = ("fault", "host", "parameters", "image", "pdu", "outlet", "other")

DETAILS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "model": {
        "bmc": ("device", "persistent", "uefi", "data", "result"),
        "pdu": ("pdu", "outlet", "result"),
        "feed": ("result",),
        "machine": ("image", "boot_id", "address", "why"),
        "monitor": ("words", "result"),
        "dhcp": ("client", "exchange"),
        "tftp": ("file", "bytes", "offered_to"),
        "http": ("file", "bytes", "offered_to"),
        "iscsi": ("image", "iqn"),
        "agent": ("command", "fence", "status"),
        "step": ("step", "text"),
        "node": ("state",),
        "host": ("host", "error"),
        "fault": (*_OF_FAULTS, "protocol", "what"),
    },
    "machine": {
        "bmc": ("device", "persistent", "uefi", "data", "user", "cipher_suite", "result"),
        "pdu": ("pdu", "outlet", "delay_s", "result"),
        "feed": ("result",),
        "machine": ("address", "why", "result"),
        "monitor": ("words", "result"),
        "dhcp": ("client", "arch", "address", "file", "mac", "result"),
        "tftp": ("file", "bytes", "result"),
        "http": ("file", "bytes", "result"),
        "iscsi": ("beside", "result"),
        "agent": (),
        "step": ("step", "text"),
        "node": ("state",),
        "host": ("host",),
        "fault": (*_OF_FAULTS, "packets", "at", "status", "result"),
    },
}
"""Fidelity → source → what its events may say besides their names: the keys of `detail`."""


def split(event: str) -> tuple[str, str]:
    """Source and name. Raises ValueError saying what there is."""
    source, _, name = event.partition(".")
    if source not in EVENTS:
        raise ValueError(f"{event!r} is no event: it is one of {', '.join(EVENTS)}, a dot, and a name")
    if name not in EVENTS[source]:
        raise ValueError(f"{source} tells no {name!r}; it tells {', '.join(EVENTS[source])}")
    return source, name
