from __future__ import annotations

import asyncio
import json
import os
import threading
from pathlib import Path

import pytest

from provisioner.core.errors import StorageFull
from provisioner.services import export_numbers
from provisioner.services.export_numbers import ExportNumbers


def folders(tmp_path: Path, *names: str) -> list[Path]:
    made = [tmp_path / "nodes" / name for name in names]
    for folder in made:
        folder.mkdir(parents=True)
    return made


def numbers_in(file: Path, *in_force: Path) -> ExportNumbers:
    return ExportNumbers(file, lambda: in_force)


def given(numbers: ExportNumbers, *folders: Path) -> list[int]:
    """What they get that ask at once."""

    async def story() -> list[int]:
        return await asyncio.gather(*map(numbers.of, folders))

    return asyncio.run(story())


def test_a_folder_keeps_its_number_from_process_to_process_in_whatever_order(tmp_path: Path) -> None:
    a, b, c = folders(tmp_path, "a", "b", "c")
    first = given(numbers_in(tmp_path / "file"), a, b)
    second = numbers_in(tmp_path / "file")
    assert given(second, c)[0] not in first
    assert given(second, b, a) == first[::-1]


def test_a_number_is_given_anew_when_its_folder_is_gone_and_all_others_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_numbers, "MAX_EXPORTS", 3)
    a, b, c, d = folders(tmp_path, "a", "b", "c", "d")
    numbers = numbers_in(tmp_path / "file")
    assert given(numbers, a, b) == [1, 2]
    a.rmdir()
    assert given(numbers, c) == [3], "1 is free, and was in force lately"
    b.rmdir()
    numbers = numbers_in(tmp_path / "file", b)
    assert given(numbers, d) == [1], "2 is still exported"
    (e,) = folders(tmp_path, "e")
    with pytest.raises(StorageFull, match="3 are exported already"):
        given(numbers, e)


def test_as_many_as_there_are_numbers_for_get_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_numbers, "MAX_EXPORTS", 3)
    made = folders(tmp_path, "a", "b", "c", "d")
    numbers = numbers_in(tmp_path / "file")

    async def story() -> list[int | BaseException]:
        return await asyncio.gather(*map(numbers.of, made), return_exceptions=True)

    first, second, third, fourth = asyncio.run(story())
    assert [first, second, third] == [1, 2, 3]
    assert isinstance(fourth, StorageFull)


def test_those_that_ask_at_once_are_written_together_without_a_look_at_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a takeover thousands are exported, some hundred at once: what each costs must not grow with them."""
    many = [tmp_path / "nodes" / str(number) for number in range(100)]
    numbers = numbers_in(tmp_path / "file")
    given(numbers, *folders(tmp_path, "a"))
    written, looked_at = list[int](), list[Path]()
    replace, is_dir = export_numbers.replace_file, Path.is_dir

    def written_in(file: Path, text: str, *, durable: bool) -> None:
        written.append(threading.get_ident())
        replace(file, text, durable=durable)

    def seen(path: Path) -> bool:
        looked_at.append(path)
        return is_dir(path)

    monkeypatch.setattr(export_numbers, "replace_file", written_in)
    monkeypatch.setattr(Path, "is_dir", seen)
    assert sorted(given(numbers, *many)) == list(range(2, 102))
    assert looked_at == []
    assert len(written) == 2, "the first that asks doesn't wait for others"
    assert threading.get_ident() not in written, "the loop's own thread"


def test_one_that_could_not_be_remembered_is_not_given_and_is_when_it_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = folders(tmp_path, "a", "b")
    numbers = numbers_in(tmp_path / "file")
    with monkeypatch.context() as full:

        def no_room(file: Path, text: str, *, durable: bool) -> None:
            raise StorageFull("write file", answer="no space left on device")

        full.setattr(export_numbers, "replace_file", no_room)
        for _ in range(2):
            with pytest.raises(StorageFull):
                given(numbers, a)
    first = given(numbers, b, a)
    assert given(numbers_in(tmp_path / "file"), b, a) == first


def test_a_number_is_on_the_disk_before_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that run live on over a power cut of their server's, and know it by its numbers."""
    file, done, fsync = tmp_path / "file", list[str](), os.fsync

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path == tmp_path:
            done.append("its name" if file.exists() else "no name yet")
        else:
            assert not file.exists()
            done.append("all of it" if json.loads(path.read_text())["numbers"] else "a part")

    monkeypatch.setattr(os, "fsync", synced)
    given(numbers_in(file), *folders(tmp_path, "a"))
    assert done == ["all of it", "its name"]


def test_those_that_are_gone_are_not_remembered_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_numbers, "REMEMBERED", 3)
    a, b, c, d = folders(tmp_path, "a", "b", "c", "d")
    numbers = numbers_in(tmp_path / "file", b)
    given(numbers, a, b, c)
    a.rmdir()
    b.rmdir()
    given(numbers, d)
    kept = json.loads((tmp_path / "file").read_text())["numbers"]
    assert set(kept) == {str(b), str(c), str(d)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"last": 1}',
        '{"last": 1, "numbers": {"/a": 1, "/b": 1}}',
        '{"last": 0, "numbers": {"/a": 0}}',
    ],
)
def test_a_file_that_tells_nothing_holds_nobody_up(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    (a,) = folders(tmp_path, "a")
    number = given(numbers_in(tmp_path / "file"), a)
    assert given(numbers_in(tmp_path / "file"), a) == number
