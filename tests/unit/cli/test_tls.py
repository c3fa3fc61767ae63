from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from provisioner.cli.main import app

CONFIG = """
state_dir: {folder}
network: {{interface: lo, address: 10.0.0.1, subnet: 10.0.0.0/16, pool: 10.0.1.1-10.0.1.250}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "provisioner.yaml"
    path.write_text(CONFIG.format(folder=tmp_path / "state"))
    return path


def made(config: Path, *names: str) -> list[str]:
    """The names of the certificate that is made."""
    words = [word for name in names for word in ("--name", name)]
    result = CliRunner().invoke(app, ["tls", "init", "--config", str(config), "--json", *words])
    assert result.exit_code == 0, result.output
    found: list[str] = json.loads(result.output)["names"]
    return found


def test_a_renewed_certificate_is_for_the_names_of_the_one_before(config: Path) -> None:
    first = made(config, "rack.example", "192.0.2.1")
    assert first[:2] == ["rack.example", "192.0.2.1"]
    assert "localhost" in first
    assert made(config) == first
    assert "rack.example" not in made(config, "other.example")


def test_a_system_whose_name_no_certificate_can_be_for_gets_one_all_the_same(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "(none)")
    assert made(config, "rack.example") == ["rack.example", "127.0.0.1", "localhost"]
