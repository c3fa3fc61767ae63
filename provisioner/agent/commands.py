"""Every command of the protocol, by name."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.agent.board import Command
from provisioner.agent.checksum import checksum_command
from provisioner.agent.config_drive import config_drive_command
from provisioner.agent.export import Exports, flush_command
from provisioner.agent.file_systems import grow_root_command, make_ephemeral_command, make_swap_command
from provisioner.agent.inventory import inventory_command
from provisioner.agent.partition import partition_command
from provisioner.agent.wipe import wipe_command


def commands(*, node: str, boot_mac: str, exports: Exports) -> Mapping[str, Command]:
    return {
        "inventory": inventory_command(boot_mac),
        "export_disk": exports.export,
        "withdraw_disk": exports.withdraw_command,
        "checksum_disk": checksum_command,
        "partition_disk": partition_command(node),
        "grow_root": grow_root_command,
        "make_ephemeral": make_ephemeral_command(node),
        "make_swap": make_swap_command(node),
        "write_config_drive": config_drive_command,
        "wipe": wipe_command,
        "flush": flush_command,
    }
