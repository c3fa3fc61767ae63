from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from provisioner.app import secret_keys
from provisioner.app.secret_keys import (
    BATCH,
    KEYS_VARIABLE,
    KeyUse,
    add_key,
    audited,
    first_box,
    key_uses,
    retire,
    rotate,
)
from provisioner.config.settings import Settings
from provisioner.core.errors import Conflict, NotFound, PermanentError, TransientError
from provisioner.core.model import AccessKey, AuditRecord, Image, Node, Publication
from provisioner.protocols.store import Tx
from provisioner.services.key_file import KeyFile
from provisioner.services.secret_box import SecretBox, key_id
from provisioner.store import open_store
from tests.unit.records import NOW, image, node

T = TypeVar("T")


class Place:
    """A store with secrets: a node's password and token, and an access key's."""

    def __init__(self, folder: Path) -> None:
        self.file = KeyFile(folder / "secret.key")
        self.box = SecretBox.from_file(self.file.path)
        self.store = open_store("memory:")
        self._runner = asyncio.Runner()
        publication = Publication(token_sealed=self.box.seal("token"))
        self.transact(
            lambda tx: tx.insert(
                node(power_secret_sealed=self.box.seal("password"), publication=publication),
                node(id="node-2", name="n2"),
                AccessKey(id="AKIA", tenant="default", secret_sealed=self.box.seal("secret"), created_at=NOW),
            )
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def transact(self, work: Callable[[Tx], T]) -> T:
        return self.run(self.store.transact(work))

    def rotate(self, to: str | None = None) -> int:
        return self.run(rotate(self.store, self.box, self.file, to))

    def uses(self) -> tuple[KeyUse, ...]:
        found = self.run(key_uses(self.store, self.box))
        assert found.unopened == 0
        return found.keys

    def opened(self, box: SecretBox) -> list[str]:
        found = self.transact(lambda tx: tx.get(Node, "node-1"))
        key = self.transact(lambda tx: tx.get(AccessKey, "AKIA"))
        assert found is not None
        assert key is not None
        sealed = (found.power_secret_sealed, found.publication.token_sealed, key.secret_sealed)
        return [box.open(text) for text in sealed]


SECRETS = ["password", "token", "secret"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(secret_keys, "SETTLED_S", 0.0)
    return Place(tmp_path)


def test_a_rotation_seals_everything_with_a_new_key_that_alone_opens_it(place: Place) -> None:
    (old,) = place.box.key_ids
    assert place.rotate() == 3
    new, kept = place.uses()
    assert (new.seals, new.sealed, kept) == (True, 3, KeyUse(old, False, 0))
    assert place.run(retire(place.store, place.box, place.file)) == [old]
    (key,) = place.file.read()
    assert place.opened(SecretBox(key)) == place.opened(place.box) == SECRETS
    assert place.file.path.stat().st_mode & 0o777 == 0o600
    assert list(place.file.path.parent.iterdir()) == [place.file.path]


def test_a_key_that_something_is_sealed_by_is_not_retired(place: Place) -> None:
    (old,) = place.box.key_ids
    place.file.change(lambda keys: (Fernet.generate_key().decode(), *keys))
    assert place.run(retire(place.store, place.box, place.file)) == []
    assert old in place.box.key_ids
    assert place.opened(place.box) == SECRETS


def test_no_key_is_retired_while_what_it_sealed_may_not_be_stored_yet(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.rotate()
    monkeypatch.setattr(secret_keys, "SETTLED_S", 60.0)
    with pytest.raises(Conflict, match="Wait a minute"):
        place.run(retire(place.store, place.box, place.file))


def test_a_rotation_that_was_interrupted_is_ended_and_makes_no_key_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(secret_keys, "_seal_all", killed)
        place.rotate()
    assert place.opened(place.box) == SECRETS
    keys = place.file.read()
    assert place.rotate() == 3
    assert place.file.read() == keys
    assert [use.sealed for use in place.uses()] == [3, 0]


def test_a_process_that_runs_seals_with_the_new_key_at_once(place: Place) -> None:
    other = SecretBox.from_file(place.file.path)
    before = other.seal("x")
    place.rotate()
    assert place.box.sealed_by(other.seal("x")) == place.box.key_ids[0]
    assert other.open(before) == "x"


def test_a_key_can_be_everywhere_before_it_seals(place: Place) -> None:
    (old,) = place.box.key_ids
    added = add_key(place.file)
    assert place.box.key_ids == (old, added)
    assert place.box.sealed_by(place.box.seal("x")) == old
    assert place.rotate(added) == 3
    assert place.box.key_ids == (added, old)
    with pytest.raises(NotFound, match="secrets status"):
        place.rotate("nonesuch")


def test_more_secrets_than_fit_a_transaction_are_all_sealed_anew(place: Place) -> None:
    sealed = place.box.seal("secret")
    key = AccessKey(id="", tenant="default", secret_sealed=sealed, created_at=NOW)
    many = [replace(key, id=f"K{number:04d}") for number in range(2 * BATCH)]
    place.transact(lambda tx: tx.insert(*many))
    assert place.rotate() == 2 * BATCH + 3
    assert place.uses()[1].sealed == 0


NETWORK = {"interface": "lo", "address": "10.0.0.1", "subnet": "10.0.0.0/24", "pool": "10.0.0.2-10.0.0.9"}


def test_nothing_starts_without_the_key_file_that_has_sealed_what_is_stored(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.model_validate({"state_dir": str(place.file.path.parent), "network": NETWORK})
    keys = place.file.read()
    assert place.opened(place.run(first_box(settings, place.store))) == SECRETS
    place.file.path.unlink()
    for kind, ids in ((Node, ("node-1",)), (AccessKey, ("AKIA",)), (Image, ())):
        with pytest.raises(PermanentError, match=r"secret\.key: it isn't there, .* Put it back") as refused:
            place.run(first_box(settings, place.store))
        assert "docs/security.md" in refused.value.message
        assert not place.file.path.exists()
        if kind is AccessKey:
            url = image(source_url_sealed=place.box.seal("https://a:b@c/d"))
            place.transact(lambda tx, url=url: tx.insert(url))  # type: ignore[misc]
        for id in ids:
            place.transact(lambda tx, kind=kind, id=id: tx.delete(kind, id))  # type: ignore[misc]
    monkeypatch.setenv(KEYS_VARIABLE, " ".join(keys))
    assert place.run(first_box(settings, place.store)).key_ids == place.box.key_ids
    place.transact(lambda tx: tx.delete(Image, image().id))
    place.run(first_box(settings, place.store))
    assert place.file.read() != keys


def test_keys_that_open_nothing_of_the_database_are_told(place: Place) -> None:
    settings = Settings.model_validate({"state_dir": str(place.file.path.parent), "network": NETWORK})
    with capture_logs() as logs:
        place.run(first_box(settings, place.store))
    assert not logs
    place.file.change(lambda keys: (Fernet.generate_key().decode(),))
    with capture_logs() as logs:
        place.run(first_box(settings, place.store))
    (told,) = logs
    assert (told["event"], told["keys"]) == ("secrets.none_opens", str(place.file.path))


def test_keys_of_the_environment_go_before_the_file_and_no_child_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, old = (Fernet.generate_key().decode() for _ in range(2))
    settings = Settings.model_validate({"state_dir": str(tmp_path), "network": NETWORK})
    monkeypatch.setenv(KEYS_VARIABLE, f"{new} {old}")
    box = secret_keys.secret_box(settings)
    assert box.key_ids == (key_id(new), key_id(old))
    assert box.open(SecretBox(old).seal("x")) == "x"
    assert KEYS_VARIABLE not in os.environ
    assert not settings.secret_key.exists()
    with pytest.raises(PermanentError, match="Restore it from a backup"):
        secret_keys.secret_box(settings, make=False)
    assert not settings.secret_key.exists()
    assert len(secret_keys.secret_box(settings).key_ids) == 1
    assert settings.secret_key.exists()


def test_a_change_of_keys_is_in_the_audit_log_whether_it_was_made_or_not(place: Place) -> None:
    place.run(
        audited(place.store, "secrets rotate", lambda: rotate(place.store, place.box, place.file, None), str)
    )
    with pytest.raises(NotFound):
        place.run(
            audited(
                place.store, "secrets rotate", lambda: rotate(place.store, place.box, place.file, "x"), str
            )
        )
    done, failed = place.transact(lambda tx: tx.find(AuditRecord))
    assert (done.operation, done.target, done.outcome) == ("secrets rotate", "3", "done")
    assert (failed.operation, failed.target, failed.outcome) == ("secrets rotate", "", "failed:not-found")
    assert done.credential == failed.credential == f"uid {os.getuid()}"
    assert done.request_id != failed.request_id


def test_urls_of_images_are_sealed_anew_also_those_that_were_kept_as_they_are(place: Place) -> None:
    url, shown = "https://ann:hunter2@images.example/a?sig=c0ffee", "https://images.example/a"
    sealed = place.box.seal(url)
    place.transact(
        lambda tx: tx.insert(
            image(id="sealed", source_url=shown, source_url_sealed=sealed),
            image(id="before", name="before", source_url=url),
            image(id="plain", name="plain", source_url=shown),
        )
    )
    assert place.uses()[0].sealed == len(SECRETS) + 1
    assert place.rotate() == len(SECRETS) + 2
    assert [use.sealed for use in place.uses()] == [len(SECRETS) + 2, 0]
    kept = {one.id: one for one in place.transact(lambda tx: tx.find(Image))}
    assert {one.source_url for one in kept.values()} == {shown}
    assert {place.box.open(kept[id].source_url_sealed) for id in ("sealed", "before")} == {url}
    assert kept["plain"].source_url_sealed == ""
    assert place.rotate() == len(SECRETS) + 2


@pytest.mark.parametrize("away_from", [1, 2])
def test_no_key_is_changed_while_the_store_is_away_and_what_was_changed_is_told(
    place: Place, away_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    transact, calls, made = place.store.transact, list[int](), list[str]()

    async def goes_away(work: Callable[[Tx], object]) -> object:
        calls.append(1)
        if len(calls) >= away_from:
            raise TransientError("use the database", answer="it is away")
        return await transact(work)

    async def make() -> str:
        made.append("key")
        return "key"

    monkeypatch.setattr(place.store, "transact", goes_away)
    changing = audited(place.store, "secrets add-key", make, str)
    if away_from == 1:
        with pytest.raises(TransientError):
            place.run(changing)
        assert made == []
    else:
        assert place.run(changing) == "key"
