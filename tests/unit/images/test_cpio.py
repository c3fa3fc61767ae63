import os
import subprocess
from pathlib import Path

from fixtures.images import cpio


def make_tree(root: Path) -> None:
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(b"\x7fELF" + bytes(range(256)))
    (root / "bin/busybox").chmod(0o755)
    (root / "bin/sh").symlink_to("busybox")
    (root / "empty").touch()


def test_what_is_packed_comes_out_of_cpio_as_it_went_in(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    make_tree(root)
    out.mkdir()
    argv = ["cpio", "--extract", "--quiet", "--make-directories"]
    subprocess.run(argv, input=cpio.archive(root), cwd=out, check=True)
    assert (out / "bin/busybox").read_bytes() == (root / "bin/busybox").read_bytes()
    assert (out / "bin/busybox").stat().st_mode == (root / "bin/busybox").stat().st_mode
    assert (out / "bin/sh").readlink() == Path("busybox")
    assert (out / "empty").read_bytes() == b""


def test_the_same_files_give_the_same_bytes_whenever_they_were_made(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_tree(tmp_path / name)
    os.utime(tmp_path / "two/bin/busybox", (0, 0))
    assert cpio.archive(tmp_path / "one") == cpio.archive(tmp_path / "two")
