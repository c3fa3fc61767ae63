from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.core.errors import PermanentError
from provisioner.services.loaders import FILES, find_loaders


def test_missing_loaders_name_the_package_to_install(tmp_path: Path) -> None:
    (tmp_path / "snponly.efi").touch()
    with pytest.raises(PermanentError, match=r"undionly\.kpxe not there\. Install the package ipxe"):
        find_loaders(tmp_path)


def test_each_kind_of_firmware_has_its_loader(tmp_path: Path) -> None:
    for name in FILES.values():
        (tmp_path / name).touch()
    assert set(find_loaders(tmp_path)) == set(FILES)
