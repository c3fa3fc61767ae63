"""A configured native tree becomes a foreign one without running anything of it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fixtures.images.architecture import ARM64
from fixtures.images.foreign import exchange
from fixtures.images.process import BuildError

OPTIONS = ("path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright")
ELF = b"\x7fELF".ljust(18, b"\0")
NATIVE, FOREIGN = ELF + b"\x3e\0", ELF + b"\xb7\0"


def package(folder: Path, name: str, arch: str, *, script: bool = False, only: str = "") -> Path:
    """A program, a configuration file, and what dpkg is told to leave out. only: a file of this one's"""
    tree = folder / f"{name}-{arch}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: {arch}\nMaintainer: Nobody <nobody@localhost>\n"
        "Description: a package of this test\n"
    )
    (tree / "DEBIAN/conffiles").write_text(f"/etc/{name}.conf\n")
    if script:
        path = tree / "DEBIAN/postinst"
        path.write_text(f"#!/bin/sh\ntouch {folder}/ran\n")
        path.chmod(0o755)
    program = NATIVE if arch == "amd64" else FOREIGN
    contents = {f"etc/{name}.conf": b"as packaged", f"bin/{name}": program}
    contents |= {f"usr/share/doc/{name}/{file}": b"text" for file in ("copyright", "NEWS")}
    for file, content in (contents | ({only: program} if only else {})).items():
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_bytes(content)
    files = [
        path for path in tree.rglob("*") if path.is_file() and path.parts[len(tree.parts)] in ("bin", "usr")
    ]
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n" for path in files]
    (tree / "DEBIAN/md5sums").write_text("".join(sums))
    made = folder / f"{name}_1_{arch}.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, made], check=True, capture_output=True)
    return made


def native_tree(root: Path, packages: Sequence[Path]) -> None:
    """As its own dpkg leaves it, whose programs' owners and capabilities are changed afterwards."""
    for name in ("usr/bin", "usr/lib", "var/lib/dpkg/info", "var/lib/dpkg/updates"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "var/lib/dpkg/status").touch()
    filters = [f"--{option}" for option in OPTIONS]
    words = ["dpkg", f"--root={root}", "--force-script-chrootless", *filters, "--install"]
    subprocess.run([*words, *packages], check=True, capture_output=True)


def test_packages_are_exchanged_and_what_scripts_and_owners_made_of_theirs_stays(tmp_path: Path) -> None:
    root = tmp_path / "root"
    native_tree(root, [package(tmp_path, "tool", "amd64", only="lib/x86_64-linux-gnu/tool.so")])
    (root / "usr/lib/x86_64-linux-gnu/cache").write_bytes(NATIVE)
    (root / "usr/bin/tool").chmod(0o2755)
    (root / "etc/made-by-a-script").touch()

    foreign = package(tmp_path, "tool", "arm64", only="lib/aarch64-linux-gnu/tool.so")
    exchange(root, [foreign], ARM64, OPTIONS, tmp_path / "scratch")

    assert (root / "usr/bin/tool").read_bytes() == FOREIGN, "/bin is a link, as merged systems have it"
    assert (root / "usr/bin/tool").stat().st_mode & 0o7777 == 0o2755
    assert (root / "usr/lib/aarch64-linux-gnu/tool.so").exists()
    assert not (root / "usr/lib/x86_64-linux-gnu").exists()
    status = (root / "var/lib/dpkg/status").read_text()
    assert f"Conffiles:\n /etc/tool.conf {hashlib.md5(b'as packaged').hexdigest()}\n" in status
    assert (root / "etc/made-by-a-script").exists()
    assert (root / "usr/share/doc/tool/copyright").exists() and not (
        root / "usr/share/doc/tool/NEWS"
    ).exists()
    told = [
        "dpkg-query",
        f"--admindir={root}/var/lib/dpkg",
        "-W",
        "-f",
        "${Package} ${Architecture} ${Status}",
    ]
    answer = subprocess.run(told, check=True, capture_output=True, text=True).stdout
    assert answer == "tool arm64 install ok installed"


def test_a_script_that_has_no_native_counterpart_is_not_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "root"
    native_tree(root, [package(tmp_path, "tool", "amd64")])
    foreign = [package(tmp_path, "tool", "arm64"), package(tmp_path, "other", "arm64", script=True)]
    with pytest.raises(
        BuildError, match=r"other for arm64 has scripts \(postinst\), and no native counterpart"
    ):
        exchange(root, foreign, ARM64, OPTIONS, tmp_path / "scratch")
    assert not (tmp_path / "ran").exists()


def test_a_native_program_that_is_left_is_a_fault(tmp_path: Path) -> None:
    root = tmp_path / "root"
    native_tree(root, [package(tmp_path, "tool", "amd64")])
    (root / "usr/bin/made-by-a-script").write_bytes(NATIVE)
    with pytest.raises(BuildError, match=r"a native program: .*made-by-a-script"):
        exchange(root, [package(tmp_path, "tool", "arm64")], ARM64, OPTIONS, tmp_path / "scratch")


def test_a_link_that_leads_out_of_the_tree_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    native_tree(root, [package(tmp_path, "tool", "amd64")])
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "opt").symlink_to(outside)
    foreign = package(tmp_path, "tool", "arm64", only="opt/tool/program")
    with pytest.raises(BuildError, match="would lead out of the tree"):
        exchange(root, [foreign], ARM64, OPTIONS, tmp_path / "scratch")
    assert list(outside.iterdir()) == []
