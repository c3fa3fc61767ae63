"""The steps of all plans, by name. A step observes, compares and acts; it may be entered twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import MappingProxyType

from provisioner.compute.context import StepContext
from provisioner.compute.steps import board, boot, clean, disk, enrol, image, instance, nfs
from provisioner.core.outcome import Outcome

Step = Callable[[StepContext], Awaitable[Outcome]]

STEPS: MappingProxyType[str, Step] = MappingProxyType(
    {
        "verify_power": enrol.verify_power,
        "publish_boot": boot.publish_boot,
        "set_boot_device": boot.set_boot_device,
        "power_on": boot.power_on,
        "agent_ready": boot.agent_ready,
        "export_disk": image.export_disk,
        "write_image": image.write_image,
        "verify_image": image.verify_image,
        "partition_disk": disk.partition_disk,
        "grow_root": disk.grow_root,
        "make_ephemeral": disk.make_ephemeral,
        "make_swap": disk.make_swap,
        "write_config_drive": disk.write_config_drive,
        "make_root": nfs.make_root,
        "remove_root": nfs.remove_root,
        "publish_instance_boot": instance.publish_instance_boot,
        "reboot": instance.reboot,
        "instance_running": instance.instance_running,
        "board_answers": board.board_answers,
        "set_board_network": board.set_board_network,
        "start_board_sshd": board.start_board_sshd,
        "filter_board_packets": board.filter_board_packets,
        "withdraw_instance": clean.withdraw_instance,
        "power_off": clean.power_off,
        "wipe": clean.wipe,
        "power_off_clean": clean.power_off_clean,
        "withdraw_boot": clean.withdraw_boot,
    }
)
