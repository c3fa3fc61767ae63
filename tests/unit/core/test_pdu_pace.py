"""How long a PDU is waited for, and when it is left a pause."""

from __future__ import annotations

from provisioner.core.pdu_pace import LONGEST_ANSWER_S, LONGEST_PAUSE_S, MESSAGE_S, Pace


def pace(*answers_s: float) -> Pace:
    made = Pace()
    for took_s in answers_s:
        made.answered(took_s)
    return made


def test_a_pdu_that_answers_soon_is_left_no_pause() -> None:
    assert pace(0.1, 0.2, 0.9, 0.1).pause_s(1) == 0


def test_a_slow_pdu_that_nobody_else_asks_is_left_no_pause_and_waited_for() -> None:
    slow = pace(2.6, 2.6, 2.7)
    assert slow.pause_s(1) == 0
    assert slow.give_up_s > 5


def test_a_crowded_pdu_is_left_pauses_that_grow_to_a_limit_and_end_with_the_crowd() -> None:
    crowded, pauses_s = pace(2.0), []
    for _ in range(4):
        crowded.answered(4.0)
        pauses_s.append(crowded.pause_s(0.5))
    assert pauses_s == [2.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    crowded.answered(2.0)
    assert crowded.pause_s(0.5) == 0


def test_pauses_are_left_to_chance() -> None:
    crowded = pace(2.0, 4.0)
    assert crowded.pause_s(0.0) < crowded.pause_s(0.5) < crowded.pause_s(0.999)


def test_a_silent_pdu_is_waited_for_longer_to_a_limit_until_it_answers() -> None:
    silent = pace(0.1)
    waits_s = []
    for _ in range(5):
        waits_s.append(silent.give_up_s)
        silent.silent()
        assert silent.pause_s(0.5) > 0
    assert waits_s == [MESSAGE_S, 5, 10, LONGEST_ANSWER_S, LONGEST_ANSWER_S]
    silent.answered(0.1)
    assert silent.give_up_s == MESSAGE_S
    assert silent.pause_s(0.5) == 0
