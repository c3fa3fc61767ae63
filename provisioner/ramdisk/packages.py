"""Debian packages of any architecture, from the system's own sources, without touching its state."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.ramdisk.errors import RamdiskError
from provisioner.ramdisk.programs import run


@dataclass(frozen=True, slots=True, order=True)
class Package:
    file: str  # name_version_architecture.deb
    checksum: str  # as the package index has it


class Apt:
    """A private apt: nothing installed, lists and downloads in a folder of its own."""

    def __init__(self, folder: Path, arch: str) -> None:
        self.archives = folder / "archives"
        self.lists = lists = folder / "lists"
        self._nothing = folder / "nothing"
        for path in (self.archives / "partial", self._nothing / "partial", lists / "partial"):
            path.mkdir(parents=True, exist_ok=True)
        status = folder / "status"
        status.touch()
        self._options = [
            *("-o", f"Dir::State={folder}", "-o", f"Dir::State::lists={lists}"),
            *("-o", f"Dir::State::status={status}", "-o", f"Dir::Cache={folder}"),
            *("-o", f"Dir::Cache::archives={self.archives}", "-o", f"APT::Architecture={arch}"),
            *("-o", f"APT::Architectures::={arch}", "-o", "APT::Install-Recommends=false"),
            *("-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3"),
        ]

    def update(self, say: Callable[[str], None]) -> None:
        """Goes on without a list that the archive can't give, if there are others: those of security updates
        of other architectures lag behind their signatures for hours."""
        try:
            run(["apt-get", *self._options, "-qq", "update"])
        except RamdiskError as error:
            if "Some index files failed" not in str(error) or not any(self.lists.glob("*_Packages*")):
                raise
            say(f"without some package lists, which the archive couldn't give: {error}")

    def known(self, names: Sequence[str]) -> list[str]:
        """Those of the packages that the sources have."""
        out = run(["apt-cache", *self._options, "--generate", "pkgnames"]).decode()
        return sorted(set(names) & set(out.split()))

    def resolve(self, names: Sequence[str]) -> list[Package]:
        """The packages and all that they depend on, in the versions that would be fetched now."""
        # apt names only files that it has not got yet: let it look where there are none
        options = [*self._options, "-o", f"Dir::Cache::archives={self._nothing}"]
        out = run(["apt-get", *options, "-qq", "--yes", "--print-uris", "install", *names]).decode()
        found = [Package(*match) for match in re.findall(r"^'[^']+' (\S+\.deb) \d+ (\S*)", out, re.M)]
        if not found:
            raise RamdiskError(f"apt names no files for {', '.join(names)}; it printed: {out[:500]}")
        return sorted(found)

    def download(self, names: Sequence[str], packages: Sequence[Package]) -> list[Path]:
        """The package files; those of other versions are thrown away."""
        run(["apt-get", *self._options, "-qq", "--yes", "--download-only", "install", *names])
        wanted = {package.file for package in packages}
        for path in self.archives.glob("*.deb"):
            if path.name not in wanted:
                path.unlink()
        missing = wanted - {path.name for path in self.archives.glob("*.deb")}
        if missing:
            raise RamdiskError(f"apt-get fetched other versions than it named before: {sorted(missing)}")
        return [self.archives / package.file for package in packages]
