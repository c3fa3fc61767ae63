from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet
from typer.testing import CliRunner

from provisioner.cli.exits import USAGE, CliError
from provisioner.cli.main import app

CONFIG = """
state_dir: {folder}
network: {{interface: lo, address: 10.0.0.1, subnet: 10.0.0.0/16, pool: 10.0.1.1-10.0.1.250}}
"""


def test_a_key_of_the_environment_is_not_put_first_by_its_id(tmp_path: Path) -> None:
    config = tmp_path / "provisioner.yaml"
    config.write_text(CONFIG.format(folder=tmp_path / "state"))
    (tmp_path / "state").mkdir()
    keys = " ".join(Fernet.generate_key().decode() for _ in range(2))
    words = ["secrets", "rotate", "--to", "12345678", "--config", str(config)]
    error = CliRunner().invoke(app, words, env={"PROVISIONER_SECRET_KEYS": keys}).exception
    assert isinstance(error, CliError)
    assert error.code == USAGE
    assert "PROVISIONER_SECRET_KEYS: change them there" in str(error)
