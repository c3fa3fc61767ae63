"""Nodes as people read them: many in a table, one by its fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from provisioner.cli.output import Output, by_name

COLUMNS = {
    "name": "node",
    "state": "state",
    "power_state": "power",
    "arch": "arch",
    "cpus": "CPUs",
    "memory_mib": "MiB",
    "disk_mib": "disk MiB",
    "instance": "instance",
    "owner": "owner",
    "maintenance_told": "maintenance",
}
SPARE = ("arch", "cpus", "memory_mib", "disk_mib", "owner")
DETAILS = (
    *(
        "name",
        "id",
        "state",
        "power_state",
        "maintenance",
        "maintenance_reason",
        "failure",
        "arch",
        "firmware",
    ),
    *("cpus", "memory_mib", "disk_mib", "ports", "boot_driver", "deploy_driver", "power_driver"),
    *("zone", "rack", "reserved_for", "capabilities", "deploy_failures"),
    *(
        "power_address",
        "power_device_silence",
        "root_device",
        "keep_disks",
        "wipe_owed",
        "instance",
        "published",
        "work",
        "owner",
        "fence",
    ),
)


def tell_nodes(output: Output, nodes: Iterable[dict[str, Any]]) -> None:
    """Maintenance is rare, so it has a column only while there is some."""
    rows = by_name(nodes)
    columns = dict(COLUMNS)
    if output.as_json or not any(node["maintenance"] for node in rows):
        del columns["maintenance_told"]
    else:
        rows = [
            {**node, "maintenance_told": (node["maintenance_reason"] or "yes") if node["maintenance"] else ""}
            for node in rows
        ]
    output.table(rows, columns, SPARE)
