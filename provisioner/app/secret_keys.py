"""The keys that seal what the store keeps: where they come from, what they have sealed, and their change."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import structlog

from provisioner.config.settings import Settings
from provisioner.core.errors import Conflict, NotFound, PermanentError, ProvisionerError, TransientError
from provisioner.core.model import DEFAULT_TENANT, AccessKey, AuditRecord, Image, Node, Record
from provisioner.core.shown_url import shown_url
from provisioner.protocols.store import Store, Tx
from provisioner.services.key_file import NO_FILE, KeyFile, Keys, new_key
from provisioner.services.secret_box import SecretBox, key_id
from provisioner.services.system import RandomIds

log = structlog.get_logger(__name__)

R = TypeVar("R", bound=Record)
T = TypeVar("T")

KEYS_VARIABLE = "PROVISIONER_SECRET_KEYS"
BATCH = 200
ENOUGH = 16
SETTLED_S = 60.0
"""A secret may be sealed by the old key and not be stored yet, for less than that."""


def secret_box(settings: Settings, *, make: bool = True) -> SecretBox:
    """Of the environment, where it has keys, else of the key file. make: when there is none. Raises
    PermanentError."""
    # Taken out of it: children have no use for them.
    keys = os.environ.pop(KEYS_VARIABLE, "").split()
    return SecretBox(*keys) if keys else SecretBox.from_file(settings.secret_key, make=make)


async def first_box(settings: Settings, store: Store) -> SecretBox:
    """The box that a process starts with. Raises PermanentError where its key file isn't there, and isn't to
    be made: the store has what it has sealed. Keys that open nothing of that are told in the log."""
    file = KeyFile(settings.secret_key)
    from_file = not os.environ.get(KEYS_VARIABLE, "").split()
    if from_file and file.stamp() == NO_FILE and await _has_sealed(store):
        raise PermanentError(
            f"find the key file {file.path}",
            answer="it isn't there, and the database has secrets that its keys have sealed",
            advice="Put it back from its backup, or copy it from another host; if it is lost for good, "
            "docs/security.md says how to begin anew",
        )
    box = secret_box(settings)
    sealed = await _some_sealed(store)
    if sealed and not any(map(box.sealed_by, sealed)):
        # No reason to refuse: who has lost a key begins anew with another one.
        log.error(
            "secrets.none_opens",
            looked_at=len(sealed),
            keys=str(file.path) if from_file else KEYS_VARIABLE,
            advice="Every host of one database has the same keys: copy them from one that works, and start "
            "again; if they are lost for good, docs/security.md says how to begin anew",
        )
    return box


async def _has_sealed(store: Store) -> bool:
    return bool(await _some_sealed(store))


async def _some_sealed(store: Store) -> list[str]:
    """Enough to tell whose keys they are, even if some are damaged."""
    found: list[str] = []
    for kind in (Node, AccessKey, Image):
        async for record in _all(store, kind):
            found += _sealed(record)
            if len(found) >= ENOUGH:
                return found
    return found


@dataclass(frozen=True, slots=True)
class KeyUse:
    """seals: whether it seals what is new. sealed: secrets that are stored under it."""

    id: str
    seals: bool
    sealed: int


@dataclass(frozen=True, slots=True)
class KeyUses:
    """unopened: secrets that none of the keys opens."""

    keys: tuple[KeyUse, ...]
    unopened: int


async def key_uses(store: Store, box: SecretBox) -> KeyUses:
    found: Counter[str | None] = Counter()
    for kind in (Node, AccessKey, Image):
        async for record in _all(store, kind):
            found.update(box.sealed_by(sealed) for sealed in _sealed(record))
    keys = tuple(KeyUse(id, place == 0, found[id]) for place, id in enumerate(box.key_ids))
    return KeyUses(keys, found[None])


def add_key(file: KeyFile) -> str:
    """A key that opens and doesn't seal yet; its id."""
    key = new_key()
    file.change(lambda keys: (*keys, key))
    return key_id(key)


async def rotate(store: Store, box: SecretBox, file: KeyFile | None, to: str | None) -> int:
    """Has all secrets sealed by the key `to`, or by a new one; how many were sealed anew.

    One that was interrupted is ended first: then no key is made. file: None when the keys are the
    environment's, whose first one all are sealed by. Raises NotFound for a key that isn't there.
    """
    uses = await key_uses(store, box)
    behind = sum(use.sealed for use in uses.keys[1:])
    if file is not None and (to is not None or not behind):
        file.change(lambda keys: _first(keys, to))
    return await _seal_all(store, box)


def _first(keys: Keys, to: str | None) -> Keys:
    if to is None:
        return (new_key(), *keys)
    chosen = tuple(key for key in keys if key_id(key) == to)
    if not chosen:
        raise NotFound(f"find key {to}", answer="there is none of this id", advice="See `secrets status`")
    return chosen + tuple(key for key in keys if key_id(key) != to)


async def retire(store: Store, box: SecretBox, file: KeyFile) -> list[str]:
    """Removes the keys that no secret is sealed by, but the one that seals; their ids. Raises Conflict while
    one may be about to be stored."""
    if time.time() - file.stamp()[0] / 1e9 < SETTLED_S:
        raise Conflict(
            "retire keys",
            answer="the key file has changed within the last minute",
            advice="Wait a minute: what an old key has sealed may not be stored yet",
        )
    uses = await key_uses(store, box)
    unused = {use.id for use in uses.keys if not use.seals and not use.sealed}
    if unused:
        file.change(lambda keys: tuple(key for key in keys if key_id(key) not in unused))
    return sorted(unused)


async def audited(
    store: Store, operation: str, work: Callable[[], Awaitable[T]], target: Callable[[T], str]
) -> T:
    """What `work` gives. Recorded once it has ended, as it changes a file: by the user of this system who
    asked for it, since no token did. target: what of the result is recorded. Raises TransientError before
    anything is done while the store is away; one that goes away meanwhile takes back nothing."""

    def record(outcome: str, target: str) -> Callable[[Tx], None]:
        return lambda tx: tx.insert(
            AuditRecord(
                at=tx.now(),
                tenant=DEFAULT_TENANT,
                user_id="",
                credential=f"uid {os.getuid()}",
                address="",
                operation=operation,
                target=target,
                outcome=outcome,
                request_id=RandomIds().uuid(),
            )
        )

    await store.transact(lambda tx: tx.now())
    try:
        done = await work()
    except ProvisionerError as error:
        await store.transact(record(f"failed:{error.code}", ""))
        raise
    try:
        await store.transact(record("done", target(done)))
    except TransientError as error:
        log.warning("audit.not_recorded", operation=operation, target=target(done), cause=error.message)
    return done


async def _seal_all(store: Store, box: SecretBox) -> int:
    """Killed at any time, it leaves secrets that open; it is begun again."""
    return (
        await _seal_each(store, box, Node, _node_anew)
        + await _seal_each(store, box, AccessKey, _key_anew)
        + await _seal_each(store, box, Image, _image_anew)
    )


async def _seal_each(
    store: Store, box: SecretBox, kind: type[R], anew: Callable[[R, SecretBox], dict[str, Any]]
) -> int:
    done, after = 0, ""
    while True:
        last, count = await store.transact(_batch(kind, after, box, anew))
        done += count
        if last is None:
            return done
        after = last


def _batch(
    kind: type[R], after: str, box: SecretBox, anew: Callable[[R, SecretBox], dict[str, Any]]
) -> Callable[[Tx], tuple[str | None, int]]:
    def seal(tx: Tx) -> tuple[str | None, int]:
        found, count = tx.find(kind, after=after, limit=BATCH), 0
        for record in found:
            changes = anew(record, box)
            count += len(changes.keys() - {"source_url"})
            if changes:
                # In the transaction that read it: nobody has changed it in between.
                tx.update(kind, str(record.id), changes)
        return (str(found[-1].id) if len(found) == BATCH else None), count

    return seal


def _anew(sealed: str, box: SecretBox) -> str | None:
    """None: it needn't be, or can't be opened."""
    by = box.sealed_by(sealed)
    return None if by is None or by == box.key_ids[0] else box.seal(box.open(sealed))


def _node_anew(node: Node, box: SecretBox) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if node.power_secret_sealed and (sealed := _anew(node.power_secret_sealed, box)):
        changes["power_secret_sealed"] = sealed
    if node.publication.token_sealed and (sealed := _anew(node.publication.token_sealed, box)):
        changes["publication"] = replace(node.publication, token_sealed=sealed)
    return changes


def _key_anew(key: AccessKey, box: SecretBox) -> dict[str, Any]:
    sealed = _anew(key.secret_sealed, box)
    return {"secret_sealed": sealed} if sealed else {}


def _image_anew(image: Image, box: SecretBox) -> dict[str, Any]:
    if image.source_url_sealed:
        sealed = _anew(image.source_url_sealed, box)
        return {"source_url_sealed": sealed} if sealed else {}
    # Registered before such URLs were sealed.
    shown = shown_url(image.source_url)
    if shown == image.source_url:
        return {}
    return {"source_url": shown, "source_url_sealed": box.seal(image.source_url)}


def _sealed(record: Node | AccessKey | Image) -> Iterator[str]:
    if isinstance(record, AccessKey):
        yield record.secret_sealed
    elif isinstance(record, Image):
        yield from filter(None, (record.source_url_sealed,))
    else:
        yield from filter(None, (record.power_secret_sealed, record.publication.token_sealed))


async def _all(store: Store, kind: type[Any]) -> Any:
    after: str | None = ""
    while after is not None:
        found = await store.transact(lambda tx, after=after: tx.find(kind, after=after, limit=BATCH))  # type: ignore[misc]
        for record in found:
            yield record
        after = found[-1].id if len(found) == BATCH else None
