"""A compute host's side of the agent's protocol, as plain as can be."""

from __future__ import annotations

import http.client
import itertools
import json
import time
from typing import Any


class CommandFailed(Exception):
    def __init__(self, error: dict[str, str]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code = error["code"]


class AgentPeer:
    def __init__(self, address: str, port: int, token: str, fence: int = 1) -> None:
        self.address, self.port, self.token, self.fence = address, port, token, fence
        self._numbers = itertools.count(1)

    def ask(self, method: str, path: str, body: Any = None, timeout_s: float = 60.0) -> tuple[int, Any]:
        """Status and content of the answer."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=timeout_s)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {"Authorization": f"Bearer {self.token}"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def give(self, name: str, params: dict[str, Any], command_id: str | None = None) -> tuple[int, Any]:
        command_id = command_id or f"{name}-{self.fence}-{next(self._numbers)}"
        body = {"name": name, "fence": self.fence, "params": params}
        return self.ask("PUT", f"/v1/commands/{command_id}", body)

    def run(self, name: str, timeout_s: float = 120.0, **params: Any) -> Any:
        """The result of one command. Raises CommandFailed."""
        status, command = self.give(name, params)
        assert status == 202, command
        deadline = time.monotonic() + timeout_s
        while command["state"] == "running":
            assert time.monotonic() < deadline, f"{name} still runs after {timeout_s} s: {command}"
            _, command = self.ask("GET", f"/v1/commands/{command['id']}?wait_s=5")
        if command["state"] == "failed":
            raise CommandFailed(command["error"])
        return command["result"]
