from __future__ import annotations

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


def test_a_folder_keeps_its_number_from_process_to_process_in_whatever_order(tmp_path: Path) -> None:
    a, b, c = folders(tmp_path, "a", "b", "c")
    first = ExportNumbers(tmp_path / "file")
    given = {folder: first.of(folder, []) for folder in (a, b)}
    second = ExportNumbers(tmp_path / "file")
    assert second.of(c, []) not in given.values()
    assert {folder: second.of(folder, []) for folder in (b, a)} == given


def test_a_number_is_given_anew_when_its_folder_is_gone_and_all_others_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_numbers, "MAX_EXPORTS", 3)
    a, b, c, d = folders(tmp_path, "a", "b", "c", "d")
    numbers = ExportNumbers(tmp_path / "file")
    assert [numbers.of(folder, []) for folder in (a, b)] == [1, 2]
    a.rmdir()
    assert numbers.of(c, []) == 3, "1 is free, and was in force lately"
    b.rmdir()
    numbers = ExportNumbers(tmp_path / "file")
    assert numbers.of(d, in_force=[b]) == 1, "2 is still exported"
    (e,) = folders(tmp_path, "e")
    with pytest.raises(StorageFull, match="3 are exported already"):
        numbers.of(e, in_force=[b])


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
    number = ExportNumbers(tmp_path / "file").of(a, [])
    assert ExportNumbers(tmp_path / "file").of(a, []) == number
