"""One call, as its handler sees it, and what an operation is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.api.context import ApiContext
from provisioner.core.ec2_ids import account_of
from provisioner.protocols.store import Tx

Members = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """context: of whoever sent it. given: the members of the request, by the model's names. authority: the
    host that it was sent to, with its port if that was named. prepared: what `Operation.prepare` made. seen:
    what `Operation.look` saw. looks: how often it had looked before, in vain. later: what is left to do once
    the transaction is sure; nothing may depend on its being done."""

    context: ApiContext
    given: Members
    authority: str = ""
    prepared: Any = None
    seen: Any = None
    looks: int = 0
    later: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def tenant(self) -> str:
        return self.context.who.tenant

    @property
    def account(self) -> str:
        return account_of(self.tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """handle:  answers with the members of the operation's output, in one transaction, that a dry run undoes
    takes:   members of its input that mean something here; DryRun always does
    ignores: members that change nothing here, so that clients may send them
    as_it_is: members that may be given with this value, which is how things are, and no other
    prepare: work that takes time, done in a thread before the transaction
    look:    what takes transactions of its own, before that one; it changes nothing
    once:    for each signature, unless the request has a ClientToken: a second one would do something else
    """

    handle: Callable[[Tx, Call], Members]
    takes: frozenset[str] = frozenset()
    ignores: frozenset[str] = frozenset()
    as_it_is: Mapping[str, object] = field(default_factory=dict)
    prepare: Callable[[Mapping[str, Any]], Any] | None = None
    look: Callable[[Call], Awaitable[Any]] | None = None
    once: bool = False


def takes(*names: str) -> frozenset[str]:
    return frozenset(names)
