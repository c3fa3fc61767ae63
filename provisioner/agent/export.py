"""export_disk, withdraw_disk, flush: who may write to the node's disks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from provisioner.agent import block
from provisioner.agent.board import Run
from provisioner.agent.disks import all_disks
from provisioner.agent.errors import CommandError
from provisioner.agent.job import Job
from provisioner.agent.params import Params
from provisioner.agent.tgtd import Tgtd

LUN = 1  # 0 is the controller of a tgt target
IQN = r"iqn\.\d{4}-\d{2}\.[a-z0-9.-]{1,80}(:[A-Za-z0-9._:-]{1,128})?"
CHAP_USER = r"[A-Za-z0-9._-]{1,64}"
CHAP_PASSWORD = r"[A-Za-z0-9._+/=-]{12,64}"  # RFC 7143 §12.1.3: 96 bits or more
ADDRESS = r"[0-9.]{7,15}|[0-9a-f:]{2,39}|ALL"

# bytes; tgt's own 8 KiB makes it read the wire in crumbs
WIRE_PARAMETERS = {
    "MaxRecvDataSegmentLength": 2**20,
    "MaxXmitDataSegmentLength": 2**20,
    "FirstBurstLength": 2**18,
    "MaxBurstLength": 2**20,
}


class Exports:
    """The one export there may be. Used from the command thread alone."""

    def __init__(self, run_folder: Path) -> None:
        self._run_folder = run_folder
        self._daemon: Tgtd | None = None
        self._device = ""

    def export(self, params: Params) -> Run:
        device = params.device("device")
        iqn = params.text("iqn", IQN)
        user = params.text("chap_user", CHAP_USER)
        password = params.text("chap_password", CHAP_PASSWORD, secret=True)
        address = params.text("initiator_address", ADDRESS)
        port = params.integer("portal_port", 1, 65535, default=3260)
        zero_offset = params.integer("zero_offset_bytes", 0, 2**62, default=0)
        zero_size = params.integer("zero_size_bytes", 0, 2**62, default=0)

        def run(job: Job) -> dict[str, Any]:
            self.withdraw()
            if zero_size:
                block.zero(device, zero_offset, zero_size, job, total=zero_size)
            thin = _zeroes_by_itself(device)
            daemon = Tgtd(job, self._run_folder, port)
            self._daemon, self._device = daemon, device
            try:
                daemon.new_target(iqn)
                for name, value in WIRE_PARAMETERS.items():
                    daemon.set_parameter(name, value)
                daemon.new_unit(device, LUN, thin=thin)
                daemon.require_chap(user, password)
                daemon.admit(address)  # last: until then no initiator is let in
            except CommandError:
                self.withdraw()
                raise
            return {"portal_port": port, "iqn": iqn, "lun": LUN, "thin": thin, "zeroed": bool(zero_size)}

        return run

    def withdraw(self) -> None:
        """No initiator writes any more, and what was written is on the medium."""
        if self._daemon is None:
            return
        self._daemon.kill()
        self._daemon = None
        block.flush(self._device)

    def withdraw_command(self, params: Params) -> Run:
        def run(job: Job) -> dict[str, Any]:
            self.withdraw()
            return {}

        return run


def flush_command(params: Params) -> Run:
    def run(job: Job) -> dict[str, Any]:
        os.sync()
        disks = all_disks()
        for device in disks:
            block.flush(device)
        return {"devices": disks}

    return run


def _zeroes_by_itself(device: str) -> bool:
    """tgt punches a hole for UNMAP and WRITE SAME, and the kernel does so only if the disk can zero
    a range on its own; else such a command would fail, and it is better not to offer it."""
    with block.opened(device, os.O_RDWR):
        queue = block.SYS_BLOCK / block.kernel_name(device) / "queue"
    return int((queue / "write_zeroes_max_bytes").read_text()) > 0
