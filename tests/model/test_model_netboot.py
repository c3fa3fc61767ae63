"""What is published on a compute host of the model, as the judge of idle nodes sees it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from provisioner.protocols.netboot import Loader, Offer
from scenarios.runner.model.host_disk import HostDisk
from scenarios.runner.model.netboot import ModelNetboot

MAC = "52:54:00:77:00:01"


@pytest.mark.parametrize(
    ("given", "served"),
    [
        ({}, ""),
        ({"boot_files": {Loader.ANY: ""}}, ""),
        ({"boot_files": {Loader.BIOS: "", Loader.UEFI: "snponly.efi"}}, "snponly.efi"),
        ({"files": {"kernel": "text"}}, "kernel"),
        ({"tftp_files": {"root.boot": b"bytes"}}, "root.boot"),
        ({"nfs_root": Path("/roots/n1")}, "/roots/n1"),
    ],
)
def test_whatever_a_node_could_fetch_or_mount_is_published_for_it(given: dict[str, Any], served: str) -> None:
    netboot = ModelNetboot("10.77.0.10", lambda event: None, HostDisk(lambda: None))
    offer = Offer(node_id="1", node_name="n1", macs=(MAC,), addresses=("10.96.0.1",), **given)
    asyncio.run(netboot.offer(offer))
    assert netboot.served(MAC) == served
