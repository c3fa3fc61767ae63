"""Where a request came from, to limits and the audit log: whose word counts, at a real server."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from provisioner.api.answers import MAX_ADDRESS
from tests.ports import free_port
from tests.wire.cli.conftest import Service

MOST_FAILURES = 3


class Reached(Service):
    """By TCP, at a port that is known before it starts."""

    def __init__(self, folder: Path, trusted_proxies: Sequence[str]) -> None:
        super().__init__(folder)
        self.port = free_port()
        settings: dict[str, Any] = yaml.safe_load(self.config.read_text())
        settings["api"] |= {
            "listen": f"127.0.0.1:{self.port}",
            "trusted_proxies": list(trusted_proxies),
            "limits": {"failures_per_minute": MOST_FAILURES},
        }
        self.config.write_text(yaml.safe_dump(settings))

    def status(self, token: str, forwarded_for: str) -> int:
        return httpx.get(
            f"http://127.0.0.1:{self.port}/v1/images",
            headers={"Authorization": f"Bearer {token}", "X-Forwarded-For": forwarded_for},
        ).status_code

    def told_addresses(self) -> set[str]:
        """Of wrong credentials, as the audit log has them."""
        return {
            record["address"]
            for record in self.json("audit", "list")
            if record["operation"] == "authenticate"
        }


@contextmanager
def reached(folder: Path, *trusted_proxies: str) -> Iterator[Reached]:
    service = Reached(folder, trusted_proxies)
    service.start()
    try:
        yield service
    finally:
        assert service.end(signal.SIGTERM) == 0


def test_nobody_says_where_a_request_came_from_but_a_proxy_that_is_named(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # which the server's library would heed
    with reached(tmp_path_factory.mktemp("p")) as service:
        told = ["203.0.113.1", "203.0.113.2, 203.0.113.3", "made-up", "", "203.0.113.5"]
        answers = [service.status("wrong", one) for one in told]
        assert answers == [401] * MOST_FAILURES + [429] * (len(told) - MOST_FAILURES)
        assert service.told_addresses() == {"127.0.0.1"}


def test_a_proxy_that_is_named_is_believed(tmp_path_factory: pytest.TempPathFactory) -> None:
    with reached(tmp_path_factory.mktemp("p"), "192.0.2.1", "127.0.0.0/8") as service:
        clients = [f"203.0.113.{number}" for number in range(MOST_FAILURES + 2)]
        assert {service.status("wrong", client) for client in clients} == {401}
        # The proxy's own word is the last one; the others are its client's.
        again = [
            service.status("wrong", f"198.51.100.{number}, {clients[0]}") for number in range(MOST_FAILURES)
        ]
        assert again == [401] * (MOST_FAILURES - 1) + [429]
        assert service.told_addresses() == set(clients)


def test_what_a_proxy_passes_on_unread_is_kept_short(tmp_path_factory: pytest.TempPathFactory) -> None:
    with reached(tmp_path_factory.mktemp("p"), "127.0.0.1") as service:
        assert service.status("wrong", "x" * 5000) == 401
        assert service.told_addresses() == {"x" * MAX_ADDRESS}
