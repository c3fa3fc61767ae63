"""An image that is registered, and its bytes that are sent."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.unit.api.conftest import Api

CONTENT = b"sector" + bytes(506)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def register(api: Api, name: str = "tiny", **changes: Any) -> Any:
    return api.post("/v1/images", {"name": name, "kind": "disk"} | changes, 201)


def send(api: Api, name: str = "tiny", content: bytes = CONTENT) -> Any:
    return api.call("PUT", f"/v1/images/{name}/content", content=content)
