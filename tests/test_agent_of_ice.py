"""A call waits to be found, believes an address that answered, follows its browser, and sends nobody else anything."""

from itertools import pairwise
from typing import Any

import pytest
from aioice import stun as theirs

from relay.webrtc.port.agent import (
    ASK_AGAIN_SECONDS,
    BURST_CHECKS,
    CONSENT_SECONDS,
    MAX_ASKED,
    MAX_PATHS,
    NOMINATIONS_APART_SECONDS,
    SILENT_SECONDS,
    STRAY_SECONDS,
    Agent,
    Route,
)
from tests.checker import CONTROLLED, PRIORITY, Browser, met

HOME: Route = ("socket", ("192.0.2.7", 50000))
AWAY: Route = ("socket", ("198.51.100.9", 1024))


def come(browser: Browser, route: Route = HOME, now: float = 0.0, *, nominate: bool = True, **more: Any) -> None:
    """A check that is answered, and the relay's question if it has one, which is answered too."""
    answer, *questions = browser.agent.take(browser.check(nominate=nominate, **more), route, now)
    assert theirs.parse_message(answer).attributes["XOR-MAPPED-ADDRESS"] == route[1]
    for question in questions:
        assert browser.agent.take(browser.reply(question), route, now) == []


def used(agent: Agent) -> Route | None:
    return agent.in_use.route if agent.in_use is not None else None


def test_a_browser_that_answers_where_it_seems_to_be_is_sent_the_call() -> None:
    agent, browser = met()
    answer, question = agent.take(browser.check(), HOME, 0.0)
    assert theirs.parse_message(answer).check_message_integrity(agent.password)
    assert used(agent) is None, "the address may be somebody else's"
    agent.take(browser.reply(question), HOME, 0.1)
    assert used(agent) == HOME


def test_who_writes_another_ones_address_on_his_checks_cannot_have_the_call_sent_there() -> None:
    agent, browser = met()
    come(browser)
    sent = 0
    for n in range(1000):
        now = 10.0 + n / 50
        replies = agent.take(browser.check(nominate=True, priority=PRIORITY + 1), AWAY, now)
        sent += len(replies) - 1
        for question in replies[1:]:  # he does not see it: it goes to the other one
            agent.take(browser.reply(question, password="guessed"), AWAY, now)
            agent.take(browser.reply(question, refuse=True), AWAY, now)
            agent.take(browser.reply(question), HOME, now)
    assert used(agent) == HOME
    assert sent == MAX_ASKED, "and the other one is not asked for ever"


def test_no_answer_is_longer_than_what_it_answers() -> None:
    agent, browser = met(user="u", password="p" * 22)
    for check in (browser.check(), browser.check(role=CONTROLLED), browser.check(nominate=True, spare=100)):
        for route in (HOME, ("socket", ("2001:db8:1:2:3:4:5:6", 9, 0, 0))):
            answers = agent.take(check, route, 0.0)
            assert not answers or len(answers[0]) <= len(check)


@pytest.mark.parametrize(
    ("check", "cause"),
    [
        ({"name": "nobody:them"}, "strange"),
        ({"name": "ours"}, "strange"),
        ({"name": "ours:somebody"}, "strange"),
        ({"password": "another password of 24 x"}, "unsigned"),
    ],
)
def test_a_check_for_somebody_else_or_by_somebody_else_gets_no_answer_and_is_counted(
    check: dict[str, str], cause: str
) -> None:
    agent, browser = met()
    assert agent.take(browser.check(**check), HOME, 0.0) == []  # type: ignore[arg-type]
    assert agent.dropped == {cause: 1}
    assert agent.paths == {}


def test_before_it_knows_its_browser_nobody_is_answered() -> None:
    agent, browser = met()
    agent.meet("", "")
    assert agent.take(browser.check(), HOME, 0.0) == []


def test_a_browser_that_believes_to_obey_is_told_that_it_leads() -> None:
    agent, browser = met()
    [answer] = agent.take(browser.check(role=CONTROLLED), HOME, 0.0)
    assert theirs.parse_message(answer).error_code == 487
    assert used(agent) is None


def test_a_question_that_is_lost_is_asked_again_and_not_for_ever() -> None:
    agent, browser = met()
    now, questions = 0.0, []
    while now < 60:
        questions += agent.take(browser.check(), HOME, now)[1:]
        now += 0.05
    assert len(questions) == MAX_ASKED
    assert len(set(questions)) == 1, "one transaction, so that any of its answers counts"
    agent.take(browser.reply(questions[0]), HOME, now)
    assert used(agent) == HOME


def test_an_answer_to_nothing_that_was_asked_is_nothing() -> None:
    agent, browser = met()
    _, question = agent.take(browser.check(), HOME, 0.0)
    stranger = bytearray(browser.reply(question))
    agent.take(bytes(stranger), AWAY, 0.0)
    agent.take(browser.reply(question, password="guessed"), HOME, 0.0)
    assert used(agent) is None
    assert agent.dropped == {"strange": 1, "unsigned": 1}


def test_the_path_that_the_browser_nominates_is_taken() -> None:
    agent, browser = met()
    come(browser, HOME, 0.0, nominate=False)
    come(browser, AWAY, 0.0, nominate=False)
    assert used(agent) == HOME, "the first"
    come(browser, AWAY, 0.1)
    assert used(agent) == AWAY
    come(browser, HOME, 0.2, nominate=False)
    assert used(agent) == AWAY


def test_of_two_that_are_nominated_together_the_better_one_is_taken_and_it_stays() -> None:
    agent, browser = met()
    for n in range(20):
        come(browser, HOME, n / 50, priority=100)
        come(browser, AWAY, n / 50 + 0.001, priority=200)
        assert used(agent) == AWAY


def test_a_worse_path_is_taken_when_it_alone_is_nominated_any_more() -> None:
    agent, browser = met()
    come(browser, HOME, 0.0, priority=200)
    come(browser, AWAY, 0.1, priority=100)
    assert used(agent) == HOME
    come(browser, AWAY, NOMINATIONS_APART_SECONDS + 0.2, priority=100)
    assert used(agent) == AWAY


def test_the_sound_of_a_browser_whose_address_changed_has_it_asked_and_the_call_moves_when_it_answers() -> None:
    agent, browser = met()
    come(browser, HOME, 0.0)
    [question] = agent.follow(AWAY, 5.0)
    assert used(agent) == HOME
    assert agent.follow(AWAY, 5.02) == [], "one question is enough"
    agent.take(browser.reply(question), AWAY, 5.03)
    agent.follow(AWAY, 5.04)
    assert used(agent) == AWAY


def test_packets_of_the_old_path_that_are_late_do_not_move_the_call_back() -> None:
    agent, browser = met()
    come(browser, HOME, 0.0)
    come(browser, AWAY, 5.0, nominate=False)
    agent.follow(AWAY, 5.1)
    assert used(agent) == AWAY
    agent.follow(HOME, 5.1 + STRAY_SECONDS / 2)
    assert used(agent) == AWAY
    agent.follow(HOME, 5.2 + STRAY_SECONDS)
    assert used(agent) == HOME, "unless the browser means it"


def test_another_path_that_works_is_taken_when_the_one_in_use_is_silent() -> None:
    agent, browser = met()
    come(browser, HOME, 0.0)
    come(browser, AWAY, SILENT_SECONDS - 0.1, nominate=False)
    assert used(agent) == HOME
    come(browser, AWAY, SILENT_SECONDS + 0.1, nominate=False)
    assert used(agent) == AWAY


def test_who_is_not_heard_for_half_a_minute_is_sent_no_more() -> None:
    agent, browser = met()
    assert not agent.consents(0.0)
    come(browser, HOME, 0.0)
    come(browser, HOME, 10.0)
    assert agent.consents(10.0 + CONSENT_SECONDS - 1)
    assert not agent.consents(10.0 + CONSENT_SECONDS)


def test_a_flood_of_checks_is_held_to_a_rate() -> None:
    agent, browser = met()
    answered = sum(bool(agent.take(browser.check(), HOME, 0.0)) for _ in range(1000))
    assert answered == BURST_CHECKS
    assert agent.dropped == {"rate": 1000 - BURST_CHECKS}


def test_however_many_addresses_it_comes_from_few_are_remembered_and_the_one_in_use_always() -> None:
    agent, browser = met()
    come(browser, HOME, 0.0)
    for n in range(10 * MAX_PATHS):
        come(browser, ("socket", ("203.0.113.1", n + 1)), n / 10, nominate=False)
        come(browser, HOME, n / 10)
    assert len(agent.paths) == MAX_PATHS
    assert used(agent) == HOME
    assert len(agent.forgotten) == 9 * MAX_PATHS + 1, "the proven ones are told"


def test_the_same_question_is_asked_after_twice_as_long_each_time() -> None:
    agent, browser = met()
    asked = []
    for n in range(1000):
        if agent.take(browser.check(), HOME, n / 100)[1:]:
            asked.append(n / 100)
    apart = [later - earlier for earlier, later in pairwise(asked)]
    assert apart == pytest.approx([ASK_AGAIN_SECONDS * 2**n for n in range(len(apart))], abs=0.011)
