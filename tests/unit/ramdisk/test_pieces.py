"""The pieces that the ramdisk is put together with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from provisioner.ramdisk import RamdiskError, build
from provisioner.ramdisk.cpio import Archive
from provisioner.ramdisk.elf import needs
from provisioner.ramdisk.kernel import firmware_names
from provisioner.ramdisk.python_runtime import bytecode


def example() -> Archive:
    archive = Archive()
    archive.file("usr/bin/tool", b"#!/bin/sh\n", executable=True)
    archive.file("etc/empty", b"")
    archive.link("bin", "usr/bin")
    archive.folder("tmp", 0o1777)
    archive.device("dev/console", 5, 1)
    return archive


def test_an_archive_unpacks_with_cpio_to_what_was_put_in(tmp_path: Path) -> None:
    listing = subprocess.run(
        ["cpio", "-i", "-t", "-v", "--quiet", "-n"],
        input=example().content(),
        capture_output=True,
        check=True,
    ).stdout.decode()
    rows = [row.split() for row in listing.splitlines()]
    by_name = {row[-1]: row for row in rows}
    assert [row[0][0] for row in rows] == list("ldcd-ddd-")
    assert by_name["usr/bin/tool"][0] == "-rwxr-xr-x" and by_name["tmp"][0] == "drwxrwxrwt"
    assert by_name["etc/empty"][4] == "0"
    assert "bin -> usr/bin" in listing and "5,   1" in listing


def test_equal_content_makes_an_equal_archive_in_whatever_order_it_comes() -> None:
    one, other = Archive(), Archive()
    for archive, names in ((one, ("a/x", "b")), (other, ("b", "a/x"))):
        for name in names:
            archive.file(name, name.encode())
    assert one.content() == other.content()


def test_the_libraries_of_a_program_are_those_that_the_linker_names() -> None:
    program = Path(str(shutil.which("ls"))).resolve()
    wanted = needs(program)
    assert Path(wanted.interpreter).exists()
    dumped = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    assert wanted.libraries and all(library in dumped for library in wanted.libraries)


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(RamdiskError, match="script is no little-endian ELF file"):
        needs(script)


def test_bytecode_is_the_same_each_time_and_runs_without_its_source(tmp_path: Path) -> None:
    source = tmp_path / "lesson.py"
    source.write_text('"""Doc."""\nNAMES = ("a", "b")\n\ndef double(x):\n    return 2 * x\n')
    compiled = [bytecode(source, "lesson") for _ in range(2)]
    assert compiled[0] == compiled[1]
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/lesson.pyc").write_bytes(compiled[0])
    script = "import lesson; print(lesson.double(21))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path / "alone", capture_output=True, text=True, check=True
    )
    assert done.stdout == "42\n"


def test_the_firmware_of_a_driver_is_what_the_driver_names(tmp_path: Path) -> None:
    for name, asks in (("bnx2x", [b"bnx2x/a.fw", b"bnx2x/b.fw"]), ("e1000", []), ("tg3", [b"tigon/tg3.bin"])):
        info = b"".join(b"firmware=" + one + b"\0" for one in asks)
        (tmp_path / f"{name}.ko").write_bytes(b"\x7fELF\0license=GPL\0" + info + b"alias=pci:v0\0")
    assert firmware_names(tmp_path) == ["bnx2x/a.fw", "bnx2x/b.fw", "tigon/tg3.bin"]


def test_an_unknown_architecture_is_told_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(RamdiskError, match="'sparc'; there are: amd64, arm64, armhf"):
        build("sparc", tmp_path)


def test_a_kernel_that_an_architecture_lacks_is_told_with_those_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(RamdiskError, match="'cloud' kernel is known for armhf; there are: hardware"):
        build("armhf", tmp_path, kernel="cloud")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RamdiskError, match=r"file/amd64: Not a directory.* Name a folder by --cache"):
        build("amd64", tmp_path / "file")
