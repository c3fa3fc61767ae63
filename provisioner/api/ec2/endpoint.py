"""/ec2: reads a request, knows whose it is, has it done, answers in XML."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from provisioner.api import rights
from provisioner.api.answers import address_of
from provisioner.api.audit import REFUSED, Entry
from provisioner.api.context import ApiContext
from provisioner.api.ec2.answers import Writer, refusal
from provisioner.api.ec2.authentication import Authentication
from provisioner.api.ec2.call import Call, Members, Operation
from provisioner.api.ec2.errors import DRY_RUN, Ec2Error, LookAgain, dry_run, of_error, unsupported
from provisioner.api.ec2.operations import OPERATIONS
from provisioner.api.ec2.parameters import decode, members
from provisioner.api.ec2.replays import Proven, Replays, accept_anywhere
from provisioner.api.ec2.shapes import VERSION, Model, model
from provisioner.api.failures import Failures
from provisioner.api.unproven import Unproven
from provisioner.core.errors import Forbidden, ProvisionerError
from provisioner.core.model import Record
from provisioner.protocols.store import Tx

log = structlog.get_logger(__name__)

Accept = Callable[[Tx], tuple[Record, ...]]
"""Raises Ec2Error, or says what is to be inserted when the call was carried out."""

PATHS = ("/ec2", "/ec2/")
MOST_LOOKS = 8
"""For one request."""

MAX_BODY_BYTES = 2**18
"""User data of 16 KiB has 64 KiB at most when it is encoded twice; the rest is for lists of ids."""

BODY_S = 30.0
"""For all of a body."""


class Endpoint:
    def __init__(self, context: ApiContext, unproven: Unproven, failures: Failures) -> None:
        self._context = context
        self._failures = failures
        self._authentication = Authentication(context, unproven)
        self._replays = Replays()
        self._writer: Writer | None = None

    async def serve(self, request: Request) -> Response:
        request_id = self._context.ids.uuid()
        try:
            text = await self._answer(request, request_id)
            return _xml(text, 200, request_id)
        except ProvisionerError as error:
            told = of_error(error)
        except Ec2Error as error:
            told = error
        except Exception:
            log.exception("ec2.defect", request=request_id)
            told = Ec2Error("InternalError", "A defect; the log has this request id", 500)
        return _xml(refusal(told, request_id), told.status, request_id)

    async def _answer(self, request: Request, request_id: str) -> str:
        headers, address = _headers(request), address_of(request)
        # Before its body, which may be long in coming.
        claimed = await self._authentication.claimed(headers, address)
        body = await _body(request, min(MAX_BODY_BYTES, self._context.limits.policy.body_bytes))
        if request.url.query:
            raise Ec2Error("MalformedQueryString", "Parameters are taken from the body alone")
        path = request.scope["raw_path"].decode("latin-1")
        proven = await self._authentication.prove(
            claimed, method=request.method, path=path, headers=headers, body=body, address=address
        )
        shapes = await self._model()
        parameters = decode(body)
        name = parameters.pop("Action", "")
        operation = _operation(shapes, name, parameters.pop("Version", VERSION))
        entry = _entry(request, proven, name, request_id)
        right = f"ec2 {name}"
        try:
            if not rights.covers(right, proven.who):
                raise rights.forbidden(right, proven.who)
            return await self._done(name, operation, parameters, proven, entry, request.url.netloc)
        except (ProvisionerError, Ec2Error) as error:
            told = of_error(error) if isinstance(error, ProvisionerError) else error
            if isinstance(error, Forbidden):
                await self._failures.tell(entry, REFUSED)
            elif rights.RIGHTS[right].changes and told.code != DRY_RUN:
                await self._failures.tell(entry, f"failed:{told.code}")
            raise

    async def _done(
        self,
        name: str,
        operation: Operation,
        parameters: Mapping[str, str],
        proven: Proven,
        entry: Entry,
        authority: str,
    ) -> str:
        shapes = model()
        given = members(shapes, shapes.input(name), parameters)
        dry = bool(given.pop("DryRun", False))
        _check_supported(operation, given)
        # By its ClientToken, which is stored, it is done once however often it comes.
        tokened = bool(given.get("ClientToken"))
        once = operation.once and not tokened
        self._replays.accept(proven, once=once)
        prepare = operation.prepare
        prepared = await self._context.aside(lambda: prepare(given)) if prepare else None
        entry.target = _target(given)
        changes = rights.RIGHTS[entry.operation].changes
        context = self._context.of(proven.who, entry if changes else None)
        call = Call(context=context, given=given, authority=authority, prepared=prepared)

        def accept(tx: Tx) -> tuple[Record, ...]:
            return accept_anywhere(tx, proven, once=once) if changes and not tokened else ()

        answer = await self._looked_and_handled(operation, call, accept, dry)
        for work in call.later:
            await work()
        assert self._writer is not None
        return self._writer.answer(name, answer, entry.request_id)

    async def _looked_and_handled(
        self, operation: Operation, call: Call, accept: Accept, dry: bool
    ) -> Members:
        looks = 0
        while True:
            if operation.look is not None:
                # By a context that records nothing.
                unrecorded = replace(call, context=self._context.of(call.context.who), looks=looks)
                call = replace(call, seen=await operation.look(unrecorded))
                looks += 1
            try:
                return await call.context.store.transact(partial(_handled, operation, call, accept, dry))
            except LookAgain:
                if looks == MOST_LOOKS:
                    raise

    async def _model(self) -> Model:
        if self._writer is None:
            self._writer = Writer(await self._context.aside(model))
        return model()


def _handled(operation: Operation, call: Call, accept: Accept, dry: bool, tx: Tx) -> Members:
    call.later.clear()  # the store may run this again
    accepted = accept(tx)
    answer = operation.handle(tx, call)
    if call.context.entry is not None:
        call.context.entry.made = " ".join(one["InstanceId"] for one in answer.get("Instances", ()))
    if dry:
        # Checked to its end, and undone with the transaction.
        raise dry_run()
    tx.insert(*accepted)
    return answer


def _operation(known: Model, name: str, version: str) -> Operation:
    if version != VERSION:
        raise Ec2Error("NoSuchVersion", f"Only version {VERSION} is spoken here")
    operation = OPERATIONS.get(name)
    if operation is not None:
        return operation
    if name in known.operations:
        raise unsupported(f"The operation {name}")
    if not name:
        raise Ec2Error("MissingAction", "The request must contain the parameter Action")
    raise Ec2Error("InvalidAction", f"The action {name[:100]} is not valid for this web service.")


TARGETS = ("InstanceIds", "Resources", "ImageId", "KeyName", "KeyPairId", "Name")
"""Members that name what a request is about; none holds a secret."""


def _target(given: Mapping[str, Any]) -> str:
    named = (given.get(name, ()) for name in TARGETS)
    return " ".join(word for words in named for word in ([words] if isinstance(words, str) else words))


def _entry(request: Request, proven: Proven, action: str, request_id: str) -> Entry:
    return Entry(
        who=proven.who,
        operation=f"ec2 {action}",
        target="",
        address=address_of(request),
        request_id=request_id,
    )


def _check_supported(operation: Operation, given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if name in operation.takes or name in operation.ignores:
            continue
        if name not in operation.as_it_is:
            raise unsupported(f"The parameter {name}")
        if operation.as_it_is[name] != value:
            raise unsupported(f"The parameter {name} with another value than {operation.as_it_is[name]}")


async def _body(request: Request, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > most:
                    raise Ec2Error("RequestEntityTooLarge", f"A request may have {most} bytes", 413)
    except TimeoutError:
        raise Ec2Error("RequestTimeout", f"The request wasn't here within {BODY_S:.0f} s", 408) from None
    except ClientDisconnect:
        raise Ec2Error("RequestTimeout", "The client went away") from None
    return b"".join(parts)


def _headers(request: Request) -> dict[str, str]:
    """One that is repeated is joined, as its signer has it."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _xml(text: str, status: int, request_id: str) -> Response:
    headers = {"x-amzn-requestid": request_id, "cache-control": "no-store"}
    if status in (408, 413):
        # The client may still be sending.
        headers["connection"] = "close"
    return Response(text.encode(), status, headers, media_type="text/xml;charset=UTF-8")


async def _serve(request: Request) -> Response:
    endpoint: Endpoint = request.app.state.ec2
    return await endpoint.serve(request)


ROUTES = tuple(Route(path, _serve, methods=["POST"], include_in_schema=False) for path in PATHS)
