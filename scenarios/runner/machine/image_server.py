"""Where the provisioner of a story fetches its images, and what faults make of their bytes on the way.

`python -m scenarios.runner.machine.image_server`, on standard input its port, the images' files by their
names, and the file of faults. See beside.py.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from scenarios.runner.machine.beside import faults_in, say_ready, tell

PIECE_BYTES = 2**20


class ImageRequests(BaseHTTPRequestHandler):
    """Of one connection."""

    server: ImageServer

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        path = self.server.images.get(name)
        if path is None:
            self.send_error(404)
            return
        if self._fault("image.unreachable", name) is not None:
            self.close_connection = True  # without a word
            return
        self.send_response(200)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        for piece in self._spoiled(name, path):
            self.wfile.write(piece)

    def _spoiled(self, name: str, path: Path) -> Iterator[bytes]:
        size_bytes = path.stat().st_size
        truncated = self._fault("image.truncated", name)
        end = size_bytes if truncated is None else min(size_bytes, int(truncated["after_bytes"]))
        corrupt = self._fault("image.corrupt", name)
        at = -1 if corrupt is None else int(corrupt["at_byte"]) % size_bytes
        offset = 0
        with path.open("rb") as file:
            while piece := file.read(min(PIECE_BYTES, end - offset)):
                if offset <= at < offset + len(piece):
                    spoiled = bytearray(piece)
                    spoiled[at - offset] ^= 0xFF
                    piece = bytes(spoiled)
                yield piece
                offset += len(piece)
        if end < size_bytes:
            self.close_connection = True

    def _fault(self, fault: str, name: str) -> dict[str, Any] | None:
        found = faults_in(self.server.faults, fault).get(name)
        if found is None:
            return None
        tell(t=time.time(), fault=fault, image=name)
        return dict(found)

    def log_message(self, format: str, *args: Any) -> None:
        """What is asked is in the provisioner's log."""


class ImageServer(ThreadingHTTPServer):
    """images: files by name. faults: the file of faults."""

    daemon_threads = True

    def __init__(self, port: int, images: dict[str, Path], faults: Path) -> None:
        self.images = images
        self.faults = faults
        super().__init__(("127.0.0.1", port), ImageRequests)


def main() -> None:
    given = json.load(sys.stdin)
    images = {name: Path(path) for name, path in given["images"].items()}
    server = ImageServer(given["port"], images, Path(given["faults"]))
    say_ready()
    server.serve_forever()


if __name__ == "__main__":
    main()
