"""A rack file for tests, as text and as a model."""

from __future__ import annotations

from bmsim.rack.spec import Rack
from bmsim.rack.yaml_source import parse

TEXT = """\
name: test
networks:
  provisioning: {subnet: 10.77.0.0/24}
  management: {subnet: 10.78.0.0/24}
compute_hosts:
  - {name: ch1, provisioning_address: 10.77.0.10, management_address: 10.78.0.10}
nodes:
  - name: n1
    arch: x86_64
    firmware: bios
    vcpus: 2
    memory_mib: 1024
    disks: [{size_mib: 4096}, {size_mib: 64}]
    nics: [{mac: "52:54:00:77:00:01", network: provisioning}]
    bmc: {address: 10.78.0.101, user: admin, password: correct-horse}
  - name: n2
    firmware: uefi
    disks: [{size_mib: 2048}]
    nics: [{mac: "52:54:00:77:00:02"}]
    bmc: {address: 10.78.0.102, user: admin, password: battery-staple}
"""


def rack() -> Rack:
    return parse(TEXT, Rack, "rack.yaml")
