"""cloud-init as Debian has it, in the root of our Debian image, at the node's end of a provisioning network:
it finds its instance by DHCP and the metadata alone, without a config drive."""

from __future__ import annotations

import asyncio
import json
import subprocess
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from fixtures.images.cache import default_directory
from fixtures.images.images import IMAGES
from provisioner.compute.metadata import StoredMetadata
from provisioner.core.model import Port
from provisioner.core.states import InstanceState
from provisioner.protocols.netboot import Offer
from provisioner.services.children import SystemChildren
from provisioner.services.dnsmasq import DnsmasqService
from provisioner.services.dnsmasq_config import DhcpNetwork
from provisioner.services.metadata import ADDRESS, MetadataService
from provisioner.services.secret_box import SecretBox
from provisioner.services.system import SystemClock
from provisioner.store.memory import MemoryStore
from tests.unit import records
from tests.wire.services.conftest import Heard
from tests.wire.services.segment import HOST, HOST_IF, NODE, NODE_IF, NODE_MAC, Segment

pytestmark = pytest.mark.wire

DEADLINE_S = 300.0
GATEWAY = "10.77.0.1"
ID = "0f5e9c1e-1111-4222-8333-444444444444"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzoyoRFNPvoqVuGOmVNCaJ0dzvmdDNdoKTpVtT4lWWG me"
USER_DATA = "#cloud-config\nhostname: by-user-data\nruncmd:\n - [touch, /var/lib/was-run]\n"

# The image itself is left as it is: what changes lies in memory, and ends with the last process.
BOOT = r"""
set -e
mount -t tmpfs tmpfs "$2"
cd "$2" && mkdir image new work root
mount -o loop,ro,noload "$1" image
mount -t overlay overlay -o lowerdir=image,upperdir=new,workdir=work root
mount -t proc proc root/proc
mount -t sysfs sysfs root/sys
mount -t tmpfs tmpfs root/run
mount -t tmpfs tmpfs root/dev
mknod -m 666 root/dev/null c 1 3
mknod -m 666 root/dev/urandom c 1 9
# The image looks for a config drive alone; the datasource is cloud-init's own, as it was packaged.
echo 'datasource_list: [Ec2, None]' > root/etc/cloud/cloud.cfg.d/99_ec2.cfg
exec chroot root /bin/sh -ec '
    mkdir -p /run/systemd/resolve && : > /run/systemd/resolve/stub-resolv.conf
    dhclient -1 "$0" && ip -json route > /run/routes
    { cloud-init init --local && cloud-init init && cloud-init modules --mode=final; } > /run/said 2>&1 ||
        { cat /run/said /var/log/cloud-init.log >&2; exit 1; }
    hostname
    cat /home/debian/.ssh/authorized_keys | tail --lines 1
    ls /var/lib/was-run
    cat /run/routes
    cat /run/cloud-init/instance-data.json
    kill $(cat /run/dhclient.pid)
' "$3"
"""


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("debian") / "root.raw"
    image = IMAGES["debian"](default_directory()).image
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    return raw


async def _source() -> StoredMetadata:
    store = MemoryStore(lambda: records.NOW)
    instance = records.instance(
        id=ID,
        node_id="node-1",
        state=InstanceState.ACTIVE,
        public_key=KEY,
        key_name="me",
        user_data=USER_DATA,
    )
    await store.transact(
        lambda tx: tx.insert(
            instance,
            records.image(),
            records.node(instance_id=ID),
            Port(id=NODE_MAC, node_id="node-1", address=NODE),
        )
    )
    return StoredMetadata(store, region="metal", network="10.77.0.0/24")


def test_cloud_init_of_debian_configures_itself_by_the_metadata(
    network: Segment, debian: Path, tmp_path: Path, heard: Heard
) -> None:
    subprocess.run(["ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    with network.at_node():
        subprocess.run(["ip", "addr", "flush", "dev", NODE_IF], check=True)

    def boot() -> str:
        folder = tmp_path / "root"
        folder.mkdir()
        argv = ["unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with network.at_node():
            done = subprocess.run(
                [*argv, "sh", "-c", BOOT, "boot", debian, folder, NODE_IF],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            )
        assert done.returncode == 0, done.stderr[-20_000:]
        return done.stdout

    async def story() -> str:
        dhcp = DhcpNetwork(
            interface=HOST_IF,
            address=IPv4Address(HOST),
            subnet=IPv4Network("10.77.0.0/24"),
            gateway=IPv4Address(GATEWAY),
            metadata=IPv4Address(ADDRESS),
        )
        clock, box = SystemClock(), SecretBox(Fernet.generate_key().decode())
        async with (
            DnsmasqService(dhcp, tmp_path / "dnsmasq", SystemChildren(), heard, clock) as names,
            MetadataService(await _source(), box, heard, clock, device=HOST_IF),
        ):
            await names.offer(Offer(node_id="node-1", node_name="n1", macs=(NODE_MAC,), addresses=(NODE,)))
            return await asyncio.to_thread(boot)

    hostname, key, ran, routes, *rest = asyncio.run(story()).split("\n")
    assert hostname == "by-user-data"
    assert key == KEY
    assert ran == "/var/lib/was-run"
    # Its default route is the one that it has without the metadata.
    ways = {route["dst"]: route.get("gateway") for route in json.loads(routes)}
    assert (ways["default"], ways[ADDRESS]) == (GATEWAY, HOST)
    told = json.loads("\n".join(rest))
    assert told["v1"]["instance_id"] == "i-0f5e9c1e111142228"
    assert (told["v1"]["availability_zone"], told["v1"]["region"]) == ("metala", "metal")
    assert told["v1"]["subplatform"] == f"metadata (http://{ADDRESS})"
