from __future__ import annotations

import pytest
from typer.testing import CliRunner

from scenarios.runner.cli import app


@pytest.mark.parametrize("hosts", ["two", "", "-1", "1.5"])
def test_a_number_of_compute_hosts_that_is_none_is_told_as_it_was_written(hosts: str) -> None:
    ran = CliRunner().invoke(app, ["search", "--seeds", "1..1", "--compute-hosts", hosts])
    assert ran.exit_code == 2
    assert f"--compute-hosts {hosts}: write a number, or A..B" in ran.output
