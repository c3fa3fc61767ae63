from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from provisioner.core.errors import PermanentError
from provisioner.services.key_file import KeyFile
from provisioner.services.secret_box import SecretBox

PASSWORD = "hunter2 ünïcode"


def test_what_is_sealed_opens_again_and_never_looks_the_same() -> None:
    box = SecretBox(Fernet.generate_key().decode())
    sealed = box.seal(PASSWORD)
    assert box.open(sealed) == PASSWORD
    assert PASSWORD not in sealed
    assert box.seal(PASSWORD) != sealed


def test_a_key_file_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    sealed = SecretBox.from_file(path).seal(PASSWORD)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SecretBox.from_file(path).open(sealed) == PASSWORD
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret.key"]


def test_many_that_make_the_key_file_at_once_share_one_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    sealed: list[str] = []
    start = threading.Barrier(8)

    def begin() -> None:
        start.wait()
        sealed.append(SecretBox.from_file(path).seal(PASSWORD))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    box = SecretBox.from_file(path)
    assert [box.open(text) for text in sealed] == [PASSWORD] * 8


def test_a_new_key_before_the_old_one_seals_while_the_old_one_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    sealed = SecretBox.from_file(path).seal(PASSWORD)
    new = Fernet.generate_key().decode()
    path.write_text(new + "\n" + path.read_text())
    box = SecretBox.from_file(path)
    assert box.open(sealed) == PASSWORD
    assert SecretBox(new).open(box.seal(PASSWORD)) == PASSWORD


@pytest.mark.parametrize("damage", [lambda text: text[:-8], lambda text: "x" + text, lambda text: ""])
def test_what_was_sealed_with_another_key_or_damaged_does_not_open(damage: object) -> None:
    box, other = (SecretBox(Fernet.generate_key().decode()) for _ in range(2))
    assert callable(damage)
    for text in (damage(box.seal(PASSWORD)), other.seal(PASSWORD)):
        with pytest.raises(PermanentError, match="Put back the key file"):
            box.open(text)


def test_a_key_that_is_none_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.touch(0o600)
    path.write_text("c2VjcmV0\n")
    with pytest.raises(PermanentError, match="32 bytes") as raised:
        SecretBox.from_file(path)
    assert "c2VjcmV0" not in str(raised.getrepr(style="long", showlocals=False).reprcrash)
    assert "c2VjcmV0" not in raised.value.message


@pytest.mark.parametrize(
    ("content", "mode", "complaint"),
    [("", 0o600, "empty"), ("x", 0o644, "chmod 600"), (b"\xff\xfe", 0o600, "isn't text")],
)
def test_a_key_file_that_cannot_be_used_tells_what_to_do(
    tmp_path: Path, content: str | bytes, mode: int, complaint: str
) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    with pytest.raises(PermanentError, match=complaint):
        SecretBox.from_file(path)


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        lambda path: path.write_text(""),
        lambda path: path.write_text(path.read_text()[:-9]),
        lambda path: (path.write_text(path.read_text() + "\n"), path.chmod(0o644)),
    ],
    ids=["gone", "empty", "half copied", "readable by others"],
)
def test_a_running_process_bears_a_key_file_that_cannot_be_used_for_a_while(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    path = tmp_path / "secret.key"
    box = SecretBox.from_file(path)
    content, before = path.read_text(), box.seal(PASSWORD)
    spoil(path)
    with capture_logs() as logs:
        meanwhile = box.seal(PASSWORD)
        assert [box.open(before), box.open(meanwhile)] == [PASSWORD] * 2
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("secrets.key_file_unusable", "warning")
    ]
    assert path.exists() == (spoil is not Path.unlink), "no key was made in place of the one that was missing"
    new = Fernet.generate_key().decode()
    path.write_text(f"{new}\n{content}")
    path.chmod(0o600)
    assert [SecretBox.from_file(path).open(text) for text in (before, meanwhile)] == [PASSWORD] * 2
    assert SecretBox(new).open(box.seal(PASSWORD)) == PASSWORD, "and it follows the file again"


def test_a_key_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, new = tmp_path / "secret.key", Fernet.generate_key().decode()
    SecretBox.from_file(path)
    read = KeyFile.read

    def overtaken(file: KeyFile) -> tuple[str, ...]:
        keys = read(file)
        monkeypatch.undo()
        file.change(lambda keys: (new, *keys))
        return keys

    monkeypatch.setattr(KeyFile, "read", overtaken)
    box = SecretBox.from_file(path)
    assert SecretBox(new).open(box.seal(PASSWORD)) == PASSWORD


def test_a_key_file_that_is_gone_is_not_made_anew_by_who_adds_a_key(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with pytest.raises(PermanentError, match="No such file"):
        KeyFile(path).change(lambda keys: keys)
    assert not path.exists()


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"nowhere/secret.key: No such file"):
        SecretBox.from_file(tmp_path / "nowhere" / "secret.key")


def test_a_box_shows_nothing_of_its_key() -> None:
    key = Fernet.generate_key().decode()
    assert repr(SecretBox(key)) == str(SecretBox(key)) == "SecretBox(…)"
