"""qemu-img with libiscsi, writing to an exported disk, and a relay that counts what it sends."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER, SECRET = "provisioner", "correct-horse-battery"
TIMEOUT_S = 120.0


def export_params(device: str, iqn: str, port: int, **others: Any) -> dict[str, Any]:
    params = {
        "device": device,
        "iqn": iqn,
        "chap_user": USER,
        "chap_password": SECRET,
        "initiator_address": "127.0.0.1",
        "portal_port": port,
    }
    return {**params, **others}


def write_argv(
    image: Path,
    port: int,
    iqn: str,
    secret_file: Path,
    *,
    size: int,
    offset: int = 0,
    options: Sequence[str] = (),
) -> list[str]:
    target = (
        f"driver=raw,offset={offset},size={size},file.driver=iscsi,file.transport=tcp,"
        f"file.portal=127.0.0.1:{port},file.target={iqn},file.lun=1,file.user={USER},file.password-secret=chap"
    )
    return [
        *("qemu-img", "convert", "-n", "-W", "-m", "16", *options),
        *("--object", f"secret,id=chap,file={secret_file}"),
        *("--image-opts", "--target-image-opts", f"driver=qcow2,file.filename={image}", target),
    ]


def write(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@dataclass
class Counted:
    port: int
    sent_bytes: int = 0


@contextlib.contextmanager
def relay(port: int) -> Iterator[Counted]:
    """A port that leads to `port`, for any number of connections; counts what the initiator sends."""
    listening = socket.create_server(("127.0.0.1", 0))
    counted = Counted(listening.getsockname()[1])
    sockets = [listening]
    threads: list[threading.Thread] = []

    def pump(source: socket.socket, target: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**18):
                counted.sent_bytes += len(data) if counts else 0
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(("127.0.0.1", port))
                sockets.extend((near, far))
                start(pump, near, far, True)
                start(pump, far, near, False)

    def start(target: Any, *args: Any) -> None:
        thread = threading.Thread(target=target, args=args)
        threads.append(thread)
        thread.start()

    start(accept)
    try:
        yield counted
    finally:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in threads:
            thread.join()
