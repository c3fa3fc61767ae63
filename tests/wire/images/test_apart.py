"""What a tool of a build mounts and starts ends with it, whatever ends it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from fixtures.images.process import run
from tests.machine.commands import eventually


def mounts_and_waits(folder: Path) -> None:
    run(
        ["sh", "-c", f"mount -t tmpfs tmpfs {folder} && touch {folder}/there && sleep 600 & wait"], apart=True
    )


def processes(mark: str) -> list[Path]:
    """Those with `mark` in their command line."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in command.read_bytes():
                found.append(command.parent)
        except OSError:
            continue  # it has ended
    return found


def test_a_build_that_is_killed_leaves_no_process_and_no_mount(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    child = multiprocessing.get_context("fork").Process(target=mounts_and_waits, args=(folder,))
    child.start()
    try:
        # Seen through the tool's own root alone: here nothing is mounted.
        eventually(
            "it has mounted",
            lambda: any((at / "root" / str(folder)[1:] / "there").exists() for at in processes(str(folder))),
            60.0,
        )
        assert not (folder / "there").exists()
    finally:
        child.kill()
        child.join(30)
    eventually("all of it has ended", lambda: not processes(str(folder)), 60.0)
    folder.rmdir()
