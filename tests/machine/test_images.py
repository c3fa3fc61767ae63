"""Each image boots, takes its identity from a NoCloud file system, lets its key in and phones home."""

import contextlib
import http.server
import socket
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fixtures.images.cache import default_directory
from fixtures.images.images import IMAGES, Image
from provisioner.compute import config_drive
from provisioner.core.metadata import EPHEMERAL_LABEL
from tests.machine.lone_machine import PHONE_HOME_HOST, LoneMachine, direct_kernel, running, uefi_firmware
from tests.serving import serving
from tests.unit.records import flavor, instance

pytestmark = pytest.mark.machine

# From power-on to the call home, without hardware virtualization and with another test beside it.
BOOT_TIMEOUT_S = {"tiny": 60.0, "debian": 300.0}
HOSTNAME = "proof-of-life"
INSTANCE_ID = "11111111-2222-3333-4444-555555555555"

Calls = list[dict[str, list[str]]]


@pytest.mark.parametrize(
    ("name", "firmware"),
    [
        ("tiny", "direct"),
        pytest.param("tiny-disk", "bios", marks=pytest.mark.full),
        ("tiny-disk", "uefi"),
        # test_faults.py deploys it.
        pytest.param("debian", "direct", marks=pytest.mark.full),
        ("debian-disk", "bios"),
        pytest.param("debian-disk", "uefi", marks=pytest.mark.full),
    ],
)
def test_an_image_boots_with_the_identity_it_is_given(name: str, firmware: str, tmp_path: Path) -> None:
    image = IMAGES[name](default_directory())
    key = _ssh_key(tmp_path)
    overlay, ephemeral = _overlay_of(image, tmp_path), _ephemeral(tmp_path)
    with _telephone() as (port, calls):
        config = _config_drive(tmp_path, key.with_suffix(".pub").read_text(), port)
        boot = _boot_arguments(image, firmware, tmp_path)
        started = time.monotonic()
        with running(tmp_path, boot, [(overlay, "qcow2"), (config, "raw"), (ephemeral, "raw")]) as machine:
            deadline = started + BOOT_TIMEOUT_S[name.removesuffix("-disk")]
            _wait_for(lambda: "SSH-2.0" in _ssh_banner(machine), machine, deadline, "an SSH banner")
            ssh_after_s = time.monotonic() - started
            _wait_for(lambda: bool(calls), machine, deadline, "a call home")
            called_after_s = time.monotonic() - started
            answer = _ssh(machine, key, "hostname; grep ' /mnt ' /proc/mounts; df -k / | tail -n 1")
    print(f"{name} by {firmware}: SSH after {ssh_after_s:.1f} s, call home after {called_after_s:.1f} s")
    assert answer.splitlines()[0] == HOSTNAME
    assert " /mnt ext4 rw" in answer.splitlines()[1]
    assert calls[0]["instance_id"] == [INSTANCE_ID]
    assert calls[0]["hostname"] == [HOSTNAME]
    assert f"{HOSTNAME} is up" in machine.said()


def _boot_arguments(image: Image, firmware: str, folder: Path) -> list[str]:
    if firmware == "uefi":
        return uefi_firmware(folder)
    if firmware == "bios":
        return []
    assert image.kernel and image.ramdisk, f"{image.name} has a kernel and a ramdisk of its own"
    return direct_kernel(image.kernel, image.ramdisk, f"root=UUID={image.root_uuid} ro console=ttyS0")


def _overlay_of(image: Image, folder: Path) -> Path:
    overlay = folder / "disk.qcow2"
    backing = ["-b", image.image, "-F", image.image_format]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, overlay], check=True)
    return overlay


def _ssh_key(folder: Path) -> Path:
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key


def _config_drive(folder: Path, public_key: str, port: int) -> Path:
    url = f"http://{PHONE_HOME_HOST}:{port}/home"
    asked = instance(
        id=INSTANCE_ID, name=HOSTNAME, public_key=public_key.strip(), flavor=flavor(ephemeral_mib=64)
    )
    files = config_drive.files(asked, phone_home_url=url)
    drive = folder / "config.img"
    with drive.open("wb") as file:
        file.truncate(8 * 2**20)
    subprocess.run(["mkfs.vfat", "-n", "CIDATA", drive], check=True, stdout=subprocess.DEVNULL)
    for name, content in files.items():
        subprocess.run(["mcopy", "-i", drive, "-", f"::{name}"], input=content.encode(), check=True)
    return drive


def _ephemeral(folder: Path) -> Path:
    """What make_ephemeral leaves in its partition."""
    disk = folder / "ephemeral.img"
    with disk.open("wb") as file:
        file.truncate(64 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", EPHEMERAL_LABEL, disk], check=True)
    return disk


def _wait_for(probe: Callable[[], bool], machine: LoneMachine, deadline: float, what: str) -> None:
    pause = threading.Event()
    while not probe():
        tail = machine.said()[-3000:]
        assert machine.process.poll() is None, f"the machine stopped before {what}; its console:\n{tail}"
        assert time.monotonic() < deadline, f"no {what} in time; the end of the console:\n{tail}"
        pause.wait(0.1)


def _ssh_banner(machine: LoneMachine) -> str:
    # QEMU accepts for the machine: only the banner proves that somebody listens there.
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", machine.ssh_port), 2) as probe:
        probe.settimeout(2)
        return probe.recv(64).decode(errors="replace")
    return ""


def _ssh(machine: LoneMachine, key: Path, command: str) -> str:
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    words = [word for option in options for word in ("-o", option)]
    argv = ["ssh", *words, "-i", str(key), "-p", str(machine.ssh_port), "debian@127.0.0.1", command]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"ssh said {done.stderr}; the end of the console:\n{machine.said()[-3000:]}"
    return done.stdout


@contextlib.contextmanager
def _telephone() -> Iterator[tuple[int, Calls]]:
    calls: Calls = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            calls.append(urllib.parse.parse_qs(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Kept off the terminal of the test run."""

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield server.server_port, calls
