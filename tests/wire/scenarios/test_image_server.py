"""What the images of a story become on their way, by the faults that there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scenarios.runner.machine.image_server import ImageServer
from tests.serving import serving

pytestmark = pytest.mark.wire

BYTES = bytes(range(256)) * 8192  # two pieces


class Served:
    def __init__(self, folder: Path) -> None:
        self.faults = folder / "faults"
        self.give({})
        image = folder / "tiny"
        image.write_bytes(BYTES)
        self.server = ImageServer(0, {"tiny": image}, self.faults)

    def give(self, faults: dict[str, dict[str, dict[str, Any]]]) -> None:
        self.faults.write_text(json.dumps(faults))

    def get(self, name: str = "tiny") -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.server.server_address[1]}/{name}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    with serving(served.server):
        yield served


def strikes(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [(one["fault"], one["image"]) for one in told]


def test_without_faults_an_image_is_what_it_is(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.give({"image.corrupt": {"another": {"at_byte": 0}}})
    assert served.get().content == BYTES
    assert served.get("another").status_code == 404
    assert strikes(capsys) == []


@pytest.mark.parametrize("at", [0, 2**20, len(BYTES) - 1])
def test_one_byte_is_another(at: int, served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.give({"image.corrupt": {"tiny": {"at_byte": at}}})
    got = served.get().content
    assert [index for index in range(len(BYTES)) if got[index] != BYTES[index]] == [at]
    assert strikes(capsys) == [("image.corrupt", "tiny")]


def test_the_rest_of_it_never_comes(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.give({"image.truncated": {"tiny": {"after_bytes": 1000}}})
    with pytest.raises(httpx.RemoteProtocolError, match="1000 bytes"):
        served.get()
    assert strikes(capsys) == [("image.truncated", "tiny")]


def test_nobody_answers(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    served.give({"image.unreachable": {"tiny": {}}})
    with pytest.raises(httpx.RemoteProtocolError):
        served.get()
    served.give({})
    assert served.get().content == BYTES
    assert strikes(capsys) == [("image.unreachable", "tiny")]
