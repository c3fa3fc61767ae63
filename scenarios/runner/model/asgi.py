"""One request to the provisioner's API, handed to it as a web server would."""

from __future__ import annotations

import json
from typing import Any

from starlette.types import ASGIApp, Message

from scenarios.runner.model.defects import is_of_provisioner
from scenarios.runner.stage import Answer


async def call(
    app: ASGIApp, method: str, path: str, body: Any, *, token: str, key: str = ""
) -> tuple[Answer, str]:
    """The answer, and its text as it went over the wire. Raises what the application does that has no answer
    for it, and a defect of the lab's."""
    content = b"" if body is None else json.dumps(body).encode()
    headers = [
        (b"host", b"provisioner"),
        (b"authorization", f"Bearer {token}".encode()),
        (b"content-length", str(len(content)).encode()),
    ]
    if content:
        headers.append((b"content-type", b"application/json"))
    if key:
        headers.append((b"idempotency-key", key.encode()))
    plain, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("provisioner", 80),
        "state": {},
    }
    sent = False
    status, pieces, cause = 0, bytearray(), ""

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            pieces.extend(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except Exception as error:  # Starlette raises a defect again when it has answered, for the server's log
        if status < 500 or not is_of_provisioner(error):
            raise
        cause = f"{type(error).__name__}: {error}"
    text = pieces.decode()
    return Answer(status=status, body=json.loads(text) if text else None, cause=cause), text
