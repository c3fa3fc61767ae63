"""What commands say that need the configuration file, and find none."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from provisioner.cli.exits import USAGE, CliError
from provisioner.cli.main import app


@pytest.mark.parametrize(
    "words",
    [
        *(["serve", "-c"], ["api", "-c"], ["compute", "-c"], ["config", "check"], ["db", "upgrade", "-c"]),
        *(["secrets", "status", "-c"], ["tls", "init", "-c"]),
    ],
    ids=lambda words: words[0],
)
def test_whoever_has_no_configuration_is_told_where_one_is_looked_for(
    words: list[str], tmp_path: Path
) -> None:
    missing = tmp_path / "none.yaml"
    error = CliRunner().invoke(app, [*words, str(missing)]).exception
    assert isinstance(error, CliError)
    assert error.code == USAGE
    assert f"no configuration {missing}" in str(error)
    assert "--config or PROVISIONER_CONFIG" in str(error)


def test_a_client_for_whom_a_configuration_is_named_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "none.yaml"
    monkeypatch.setenv("PROVISIONER_CONFIG", str(missing))
    error = CliRunner().invoke(app, ["node", "list"]).exception
    assert isinstance(error, CliError)
    assert f"no configuration {missing}" in str(error)
