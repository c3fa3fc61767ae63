"""A system whose files are the real ones; what is written to them goes elsewhere, and can be listed.

    python -m tests.wire.bmsim.written_files FOLDER KEPT   in a mount namespace of its own

Each file system is covered by an overlay (Linux, Documentation/filesystems/overlayfs.rst), whose upper layer
gets all that is made, changed or removed. KEPT alone is the real folder.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]

INTERFACES = {
    *("proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "hugetlbfs", "nsfs", "autofs", "binfmt_misc"),
    *("bpf", "configfs", "debugfs", "efivarfs", "fusectl", "pstore", "rpc_pipefs", "securityfs", "tracefs"),
}
"""The kernel's own, which keep no files."""


class System:
    """As what runs in it sees it."""

    def __init__(self, folder: Path, holder: int) -> None:
        self._layers = Path(f"/proc/{holder}/root{folder}/layers")
        self._enter = ("nsenter", f"--mount=/proc/{holder}/ns/mnt", f"--wdns={PROJECT}")

    def run(self, *words: str) -> str:
        """What it says on both streams."""
        # Python's cache of what it has compiled is Python's.
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [*self._enter, *words], capture_output=True, text=True, env=environment, check=False
        )
        told = done.stdout + done.stderr
        assert done.returncode == 0, told
        return told

    def written(self) -> list[str]:
        """Paths of what was made, changed or removed; a folder that is as it was is none of these."""
        found = []
        for layer in self._layers.glob("*/upper"):
            covered = Path((layer.parent / "covers").read_text())
            changes = {covered / path.relative_to(layer): path for path in layer.rglob("*")}
            found += [str(real) for real, path in changes.items() if not _are_one_folder(path, real)]
        return sorted(found)


def _are_one_folder(path: Path, real: Path) -> bool:
    try:
        ours, theirs = path.lstat(), real.lstat()
    except FileNotFoundError:
        return False
    same = (ours.st_mode, ours.st_uid, ours.st_gid) == (theirs.st_mode, theirs.st_uid, theirs.st_gid)
    return same and stat.S_ISDIR(ours.st_mode)


@contextmanager
def system(folder: Path, kept: Path) -> Iterator[System]:
    """folder: a test's, for what it is made of. kept: exists; what is written below it is written there."""
    argv = ("unshare", "--mount", "--propagation", "private", sys.executable, "-m", __name__, folder, kept)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT
    ) as holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != "made\n":
            raise AssertionError(f"no overlays over this system: {holder.stderr.read()}")
        yield System(folder, holder.pid)
        # The end of its input, which leaving this closes, is its own.


def _make(folder: Path, kept: Path) -> None:
    """This process and all others in its mount namespace have the covered system from now on."""
    root, layers = folder / "root", folder / "layers"
    root.mkdir()
    layers.mkdir()
    # The upper layer can't be in an overlay, which is what containers have.
    _mount("-t", "tmpfs", "layers", layers)
    for number, (point, kind) in enumerate(_mount_points(folder.parents[1])):
        if kind in INTERFACES:
            _mount("--rbind", point, f"{root}{point}")
        elif Path(point).is_dir():
            _overlay(point, f"{root}{point}", layers / str(number))
        else:  # a file of the host's in a container
            _mount("--bind", point, f"{root}{point}")
            _mount("-o", "remount,bind,ro", f"{root}{point}")
    for place in (layers, kept):
        _mount("--bind", place, f"{root}{place}")
    (layers / "old").mkdir()
    # No chroot: who enters a mount namespace, as `bmsim rack exec` does, gets its root.
    _run("pivot_root", root, f"{root}{layers}/old")
    _run("umount", "--lazy", layers / "old")


def _mount_points(of_all_tests: Path) -> list[tuple[str, str]]:
    """Where what kind of file system is mounted, each after the one that it is in. Not those in the kernel's
    own, nor those in tests' folders, where others' come and go."""
    skipped = [of_all_tests, Path(tempfile.gettempdir())]
    found: dict[str, str] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, source = line.partition(" - ")
        # proc_pid_mountinfo(5): blanks are told by their octal numbers.
        found[fields.split()[4].encode().decode("unicode_escape")] = source.split()[0]
    skipped += [Path(point) for point, kind in found.items() if kind in INTERFACES]
    return sorted((point, kind) for point, kind in found.items() if not {*skipped} & {*Path(point).parents})


def _overlay(point: str, place: str, layer: Path) -> None:
    upper, work = layer / "upper", layer / "work"
    layer.mkdir()
    (layer / "covers").write_text(point)
    work.mkdir()
    upper.mkdir()
    upper.chmod(stat.S_IMODE(Path(point).stat().st_mode))
    _mount("-t", "overlay", "-o", f"lowerdir={point},upperdir={upper},workdir={work}", "overlay", place)


def _mount(*words: str | Path) -> None:
    _run("mount", *words)


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True)


def main(arguments: Sequence[str]) -> None:
    folder, kept = map(Path, arguments)
    _make(folder, kept)
    print("made", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
