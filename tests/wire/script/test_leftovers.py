import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.wire

LEFTOVERS = Path(__file__).resolve().parents[3] / "script/leftovers"


def in_own_network(script: str, folder: Path, run: str) -> subprocess.CompletedProcess[str]:
    """`$leftovers` is the program and `$note` its file; network and mounts are this test's own."""
    environment = {
        **os.environ,
        "leftovers": str(LEFTOVERS),
        "note": str(folder / "note"),
        "PROVISIONER_RUN": run,
    }
    argv = ["unshare", "--net", "--mount", "bash", "-c", f"$leftovers note $note; {script}"]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_run_that_cleans_up_is_told_so(tmp_path: Path) -> None:
    done = in_own_network(
        "ip link add b0 type bridge; ip link del b0; $leftovers check $note", tmp_path, "one"
    )
    assert (done.returncode, done.stdout) == (0, "nothing was left behind\n")


def test_an_interface_and_a_mount_that_remain_are_named(tmp_path: Path) -> None:
    script = "ip link add b0 type bridge; mount -t tmpfs tmpfs /mnt; $leftovers check $note"
    done = in_own_network(script, tmp_path, "two")
    assert done.returncode == 1
    assert "interface: b0" in done.stdout
    assert "mount: /mnt" in done.stdout


def test_of_what_is_in_folders_of_others_only_a_runs_own_counts(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    script = """
    for folder in "${note%/*}" "${note%/*}-not"; do
        mkdir -p $folder/mounted
        mount -t tmpfs tmpfs $folder/mounted
        truncate -s 1M $folder/disk
        devices+=($(losetup --find --show $folder/disk))
    done
    $leftovers check $note; code=$?
    losetup --detach "${devices[@]}"
    exit $code
    """
    done = in_own_network(script, own, "five")
    mounted, bound = sorted(done.stdout.splitlines()[1:], reverse=True)
    assert mounted == f"mount: {own}/mounted"
    assert re.fullmatch(rf"loop device: /dev/loop\d+ {own}/disk", bound)


def test_a_process_of_this_run_that_remains_is_named_and_one_of_another_is_not(tmp_path: Path) -> None:
    script = """
    tail -f /dev/null & ours=$!
    PROVISIONER_RUN=other tail -f /dev/null & theirs=$!
    until [ "$(cat /proc/$ours/comm /proc/$theirs/comm | uniq)" = tail ]; do :; done  # no shells any more
    $leftovers check $note; code=$?
    kill $ours $theirs
    echo "ours is $ours, theirs is $theirs"
    exit $code
    """
    done = in_own_network(script, tmp_path, "three")
    ours, theirs = done.stdout.split("ours is ")[1].split(", theirs is ")
    assert done.returncode == 1
    assert f"process: {ours} tail -f /dev/null" in done.stdout
    assert f"process: {theirs.strip()}" not in done.stdout


def test_what_is_left_of_an_interrupted_run_is_ended_and_nothing_of_another(tmp_path: Path) -> None:
    script = """
    setsid unshare --pid --fork bash -c 'tail -f /dev/null & wait' &
    PROVISIONER_RUN=other tail -f /dev/null & theirs=$!
    until $leftovers check $note | grep -q 'process: .*tail'; do :; done
    $leftovers end && $leftovers check $note; code=$?
    kill $theirs && exit $code
    """
    done = in_own_network(script, tmp_path, "four")
    assert (done.returncode, done.stdout) == (0, "nothing was left behind\n"), done.stderr
