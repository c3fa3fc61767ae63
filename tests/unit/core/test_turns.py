from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from provisioner.core.turns import Request, Turns, age
from tests.unit.records import NOW


def asked(tenant: str, number: int, at_s: int = 0) -> Request:
    return Request(f"{tenant}-{number}", tenant, NOW + timedelta(seconds=at_s), number)


def queues(waiting: list[Request]) -> list[list[Request]]:
    """In no order of tenants."""
    tenants = {request.tenant for request in waiting}
    return [sorted((one for one in waiting if one.tenant == tenant), key=age) for tenant in tenants]


def serve_all(turns: Turns, waiting: list[Request]) -> str:
    """The tenants in the order in which they are served, one node at a time."""
    served = ""
    while waiting:
        turn = next(turns.order(queues(waiting)))
        turns.served(turn)
        waiting.remove(turn.request)
        served += turn.request.tenant
    return served


def test_one_tenants_requests_are_served_in_the_order_in_which_they_were_made() -> None:
    waiting = [asked("a", 1, at_s=5), asked("a", 0, at_s=5), asked("a", 2)]
    order = [turn.request.id for turn in Turns().order(queues(waiting))]
    assert order == ["a-2", "a-0", "a-1"]


def test_who_asks_for_many_holds_up_nobody_who_asks_for_one() -> None:
    turns = Turns()
    crowd = [asked("a", number) for number in range(100)]
    for _ in range(10):
        turn = next(turns.order(queues(crowd)))
        turns.served(turn)
        crowd.remove(turn.request)
    assert serve_all(turns, [*crowd, asked("b", 0, at_s=60)]).index("b") <= 1


def test_tenants_that_all_ask_for_many_take_turns() -> None:
    waiting = [asked(tenant, number) for tenant in "abc" for number in range(20)]
    served = serve_all(Turns(), waiting)
    assert all(set(served[begin : begin + 3]) == set("abc") for begin in range(0, 60, 3))


def test_who_was_away_has_saved_nothing_up() -> None:
    turns = Turns()
    serve_all(turns, [asked("a", number) for number in range(50)])
    served = serve_all(turns, [asked(tenant, number, at_s=9) for tenant in "ab" for number in range(10)])
    assert abs(Counter(served[:6])["a"] - 3) <= 1


def test_requests_that_are_given_up_cost_their_tenant_nothing() -> None:
    turns = Turns()
    list(turns.order([[asked("a", number) for number in range(1000)]]))  # and all of them are deleted
    served = serve_all(turns, [asked("a", 0, at_s=9), *(asked("b", number, at_s=9) for number in range(9))])
    assert served.index("a") <= 1


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60), st.data())
def test_nobody_starves_however_others_go_on_asking(newcomers: list[str], data: st.DataObject) -> None:
    """One that waits is overtaken by each other tenant once at most for each of its own before it, and
    once."""
    turns = Turns()
    history = [asked(data.draw(st.sampled_from("abcd")), number) for number in range(10)]
    serve_all(turns, history)
    mine = asked("a", 100, at_s=50)
    waiting = [mine]
    overtaken: Counter[str] = Counter()
    for number, tenant in enumerate(newcomers):
        waiting += [asked(tenant, 1000 + 2 * number + more, at_s=60 + number) for more in range(2)]
        turn = next(turns.order(queues(waiting)))
        turns.served(turn)
        waiting.remove(turn.request)
        if turn.request is mine:
            break
        overtaken[turn.request.tenant] += 1
    assert all(times <= 11 for times in overtaken.values())
    if len(newcomers) > 44:
        assert mine not in waiting
