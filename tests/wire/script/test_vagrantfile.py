from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

VAGRANTFILE = Path(__file__).parents[3] / "Vagrantfile"


@pytest.mark.parametrize("well", [True, False])
def test_vagrant_takes_the_vagrantfile(tmp_path: Path, *, well: bool) -> None:
    """What its providers' plugins would say to their own lines isn't asked: they come with the provider."""
    home = tmp_path / "home"
    shutil.copy(VAGRANTFILE, tmp_path)
    if not well:
        text = VAGRANTFILE.read_text()
        (tmp_path / "Vagrantfile").write_text(
            text.replace('hostname = "provisioner"', 'hostname = "no_name"')
        )
    said = subprocess.run(
        ("vagrant", "validate", "--ignore-provider"),
        cwd=tmp_path,
        env=os.environ | {"VAGRANT_HOME": str(home), "VAGRANT_CHECKPOINT_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (said.returncode == 0) == well, said.stdout + said.stderr
    assert ("validated successfully" in said.stdout) == well
