"""What the API answers by a defect breaks the story's promise, and the lab goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from provisioner.api import catalog, image_orders, instance_orders, instances, node_orders, nodes
from provisioner.core.errors import InvalidInput
from scenarios.runner.model import asgi
from scenarios.runner.model.stage import ModelStage
from scenarios.runner.play import play_story
from scenarios.runner.random_story import rack
from scenarios.runner.stage import Answer, Fidelity
from scenarios.runner.story import ByChance, Delete, Deploy, Expected, OnTold, Power, Story
from scenarios.runner.verdict import Result, Verdict

DEPLOY = Deploy(instance="web", image="tiny", node="n1")
ACTIVE = Expected(instance="web", outcome="active")


def played(*expected: Expected, requests: tuple[Any, ...] = (DEPLOY,)) -> Result:
    hosts, nodes = rack(1)
    story = Story(
        name="a-defect",
        hosts=hosts,
        nodes=nodes,
        requests=requests,
        expected=expected,
        images=("tiny",),
        safety_s=900.0,
    )
    return play_story(story, Fidelity.MODEL, 1).result


def told(result: Result) -> list[str]:
    assert result.verdict is Verdict.FAIL
    assert {breach.promise for breach in result.breaches} == {"expectation"}
    return [breach.what for breach in result.breaches]


def defect(*given: Any, **named: Any) -> Any:
    raise KeyError("flavour")


def refuse(*given: Any, **named: Any) -> Any:
    raise InvalidInput("take it", field="name", answer="not this one")


@pytest.mark.parametrize(
    ("module", "name"),
    [(nodes, "once"), (image_orders, "register"), (catalog, "once")],
    ids=["a node", "an image", "a flavor"],
)
def test_a_sound_order_that_is_refused_breaks_the_promise_too(
    module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, refuse)
    assert any("was answered with 422" in line for line in told(played()))


@pytest.mark.parametrize("expected", [(), (ACTIVE,), (replace(ACTIVE, outcome="error"),)])
def test_a_deploy_that_is_answered_by_a_defect_breaks_its_promise_whatever_is_expected(
    monkeypatch: pytest.MonkeyPatch, expected: tuple[Expected, ...]
) -> None:
    monkeypatch.setattr(instance_orders, "create", defect)
    (what,) = told(played(*expected))
    assert what.startswith("deploy web: POST /v1/instances was answered with 500: ")
    assert what.endswith("KeyError: 'flavour'"), "what went wrong is told"


def test_a_look_at_an_instance_that_is_answered_by_a_defect_breaks_the_promise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(instances, "_read", defect)
    what = told(played(replace(ACTIVE, outcome="error")))
    assert any("GET /v1/instances/web was answered with 500: " in one for one in what)


def test_a_deletion_and_a_change_of_power_that_are_answered_by_a_defect_break_their_promises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(instance_orders, "delete", defect)
    monkeypatch.setattr(node_orders, "ask", defect)
    active = OnTold("web", "active")
    what = told(
        played(
            requests=(
                DEPLOY,
                Delete(instance="web", when=active),
                Power(node="n1", verb="cycle", when=active),
            )
        )
    )
    assert [one.partition(" was answered with 500")[0] for one in what] == [
        "delete web: DELETE /v1/instances/web",
        "power n1: POST /v1/nodes/n1/power",
    ]


def test_a_node_that_cannot_be_looked_at_at_the_end_breaks_the_promise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call, active = ModelStage.call, []

    async def answer(self: ModelStage, method: str, path: str, body: Any = None, *, key: str = "") -> Answer:
        if path == "/v1/nodes/n1" and active:
            return Answer(status=500, body={"title": "a defect"})
        answer = await call(self, method, path, body, key=key)
        if path == "/v1/instances/web" and answer.body["state"] == "active":
            active.append(answer)
        return answer

    monkeypatch.setattr(ModelStage, "call", answer)
    what = told(played(Expected(node="n1", state="active")))
    assert set(what) == {"GET /v1/nodes/n1 was answered with 500: a defect"}


def test_nothing_is_expected_of_an_instance_that_chance_never_asked_for() -> None:
    never = replace(DEPLOY, when=ByChance(1e-9, "step", "step.started"))
    other = replace(DEPLOY, instance="other")
    result = played(ACTIVE, requests=(never, other))
    assert (result.verdict, result.breaches) == (Verdict.PASS, ())


def test_what_fails_after_another_answer_is_not_hidden_by_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("flavour")

    with pytest.raises(KeyError, match="flavour"):
        asyncio.run(asgi.call(app, "GET", "/v1/nodes", None, token="a"))
