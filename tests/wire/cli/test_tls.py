from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.ports import free_port
from tests.wire.cli.conftest import Service, eventually


class Secure(Service):
    """With TLS, by an authority of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port = free_port()
        settings = yaml.safe_load(self.config.read_text())
        settings["api"] = {"listen": f"127.0.0.1:{self.port}", "socket": str(self.socket), "tls": {}}
        self.config.write_text(yaml.safe_dump(settings))
        self.url = f"https://localhost:{self.port}"
        self.json("tls", "init", "--name", "rack.example")

    def certificate(self) -> str:
        return ssl.get_server_certificate(("127.0.0.1", self.port))


@pytest.fixture
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    service = Secure(tmp_path_factory.mktemp("p"))
    service.start()
    try:
        yield service
    finally:
        assert service.end(signal.SIGTERM) == 0


def test_the_api_speaks_tls_and_takes_a_new_certificate_up_while_it_runs(secure: Secure) -> None:
    # By the configuration's authority; the UNIX socket, by which the start was watched, speaks HTTP.
    assert secure.json("--url", secure.url, "host", "list")[0]["name"] == "here"
    ca = str(secure.state / "tls" / "ca.pem")
    words = ("--url", secure.url.replace("localhost", "127.0.0.1"), "--ca-file", ca)
    assert secure.json(*words, "host", "list")
    # What isn't by that authority isn't trusted; plain HTTP isn't spoken; a file that is missing is told of.
    other = secure.folder / "other.pem"
    other.write_text(secure.certificate())
    told = secure.refused(5, "--url", secure.url, "--ca-file", str(other), "host", "list")
    assert "certificate verify failed" in told
    assert "doesn't answer" in secure.refused(5, "--url", f"http://localhost:{secure.port}", "host", "list")
    assert "nowhere" in secure.refused(5, "--url", secure.url, "--ca-file", "/nowhere", "host", "list")

    first = secure.certificate()
    secure.json("tls", "init")
    eventually("the new certificate is used", lambda: secure.certificate() != first)
    assert secure.json("--url", secure.url, "host", "list")

    second, log = secure.certificate(), secure.folder / "serve.log"
    (secure.state / "tls" / "server.pem").write_text("nonsense")
    eventually("the bad certificate is told of", lambda: "tls.not_reloaded" in log.read_text())
    assert secure.certificate() == second
