"""What may strike in a story that a seed makes up: each fault, and how its parameters are drawn."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Drawn = tuple[str, Callable[[Random], dict[str, object]]]
"""Name in the catalogue, and its parameters."""

SWITCHES = ("chassis.power.on", "chassis.power.off")

QUIRK = "bmc.busy_when_reached"

AT_FIRST = ("disk.too_small", QUIRK)
"""Faults that are a machine's from the beginning: no disk shrinks under an instance that has been written to
it, and no firmware changes its habits."""

OF_IMAGES_SHARE = 0.03
"""Of all strikes: each takes all that its image was to be deployed to from what is left of the story."""


def _nothing(random: Random) -> dict[str, object]:
    return {}


def _some(random: Random) -> dict[str, object]:
    return {"probability": round(random.uniform(0.05, 0.6), 2)}


OF_HOSTS: tuple[Drawn, ...] = (
    ("host.kill", _nothing),
    ("host.end", lambda random: {"at_once": random.random() < 0.5}),
    ("host.stop", _nothing),
    ("host.restart", _nothing),
    ("host.disk_full", _nothing),
    (
        "host.partition",
        lambda random: {
            "from": random.choice(("nodes", "store", "both")),
            "one_way": random.random() < 0.3,
        },
    ),
    ("host.clock_jump", lambda random: {"by_s": random.choice((-1, 1)) * random.randint(1, 86400)}),
    ("nfs.server_gone", _nothing),
    ("db.slow", lambda random: {"delay_s": round(random.uniform(0.1, 6.0), 2)}),
    ("db.restart", lambda random: {"down_s": random.randint(1, 90)}),
)
OF_BMCS: tuple[Drawn, ...] = (
    ("bmc.silent", _nothing),
    ("bmc.busy", lambda random: {"count": random.randint(1, 6)}),
    ("bmc.busy_when_reached", lambda random: {"count": random.choice((None, 1, 2, 4))}),
    ("bmc.ack_not_done", lambda random: {"count": random.randint(1, 3)}),
    ("bmc.swallowed_in_transition", _nothing),
    ("bmc.boot_device_forgotten", lambda random: {"count": random.randint(1, 2)}),
    ("bmc.lies_about_power", lambda random: {"for_s": round(random.uniform(1, 20), 1)}),
    ("bmc.cold_reset", lambda random: {"silent_s": random.randint(5, 60)}),
    ("bmc.sessions_exhausted", _nothing),
    ("bmc.wrong_credentials", _nothing),
    (
        "bmc.late",
        lambda random: {
            "for_commands": [random.choice(SWITCHES)],
            "by_s": round(random.uniform(0.5, 20), 1),
            "count": random.randint(1, 3),
        },
    ),
    ("bmc.boot_device_refused_during_post", lambda random: {"post_s": random.randint(5, 120)}),
)
OF_OUTLETS: tuple[Drawn, ...] = (
    ("pdu.unreachable", _nothing),
    ("pdu.slow_queue", lambda random: {"each_s": round(random.uniform(0.1, 2.4), 2)}),
    ("pdu.outlet_stuck", lambda random: {"tells_command": random.random() < 0.3}),
    ("pdu.pending", lambda random: {"for_s": random.randint(1, 30)}),
    ("pdu.half_off", _nothing),
    ("pdu.wrong_wiring", _nothing),
)
OF_ONE_FEED = ("pdu.unreachable", "pdu.slow_queue", "pdu.outlet_stuck", "pdu.pending")
"""What may strike one of two."""
OF_IMAGES: tuple[Drawn, ...] = (
    ("image.corrupt", lambda random: {"at_byte": random.randint(0, 2**20)}),
    ("image.truncated", lambda random: {"after_bytes": random.randint(0, 2**20)}),
    ("image.unreachable", _nothing),
)
OF_MACHINES: tuple[Drawn, ...] = (
    ("node.hangs", lambda random: {"at": random.choice(("firmware", "loader", "kernel", "agent"))}),
    ("boot.loop", _nothing),
    ("boot.ignores_flag", _nothing),
    ("boot.wrong_arch", _nothing),
    ("bmc.nic_renamed", _nothing),
    ("disk.write_error", _nothing),
    ("disk.read_error", _nothing),
    ("disk.corrupts_writes", _nothing),
    ("disk.slow", lambda random: {"factor": random.randint(2, 30)}),
    ("disk.missing", _nothing),
    ("disk.too_small", lambda random: {"size_mib": random.choice((16, 64, 512))}),
    ("disk.renamed", _nothing),
    ("iscsi.session_lost", _nothing),
    ("agent.twice", _nothing),
    ("agent.stale_token", _nothing),
    ("agent.late", lambda random: {"delay_s": random.randint(1, 60)}),
)
OF_TILES: tuple[Drawn, ...] = (
    ("node.hangs", lambda random: {"at": random.choice(("firmware", "loader", "kernel"))}),
    ("node.slow_post", lambda random: {"post_s": random.randint(60, 900)}),
    ("boot.wrong_image", lambda random: {"part": random.choice(("kernel", "init"))}),
)
FAULTS: tuple[Drawn, ...] = (
    ("net.drop", _some),
    ("net.delay", lambda random: {"delay_s": round(random.uniform(0.05, 2.0), 2)}),
    ("net.duplicate", _some),
    ("net.reorder", _some),
    ("net.partition", _nothing),
    ("dhcp.lost_offer", lambda random: {"count": random.randint(1, 4)}),
    ("tftp.stall", _nothing),
    ("net.port_blocked_at_first", lambda random: {"for_s": random.randint(1, 60)}),
    ("dhcp.rival", _nothing),
    ("node.dead_nic", _nothing),
    ("node.power_loss", _nothing),
    *OF_HOSTS,
)
"""Faults that end when they are healed, so that every request can still end well. Those of all nodes, and of
hosts."""
