"""A call waits to be found, believes an address that answered, follows its browser, and sends nobody else anything."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from aioice import stun as theirs

from relay.webrtc.port.lite import (
    ASK_AGAIN_SECONDS,
    BURST_CHECKS,
    CONSENT_SECONDS,
    MAX_ASKED,
    MAX_SEEN,
    MAX_SENT,
    MAX_WAYS,
    NOMINATIONS_APART_SECONDS,
    SILENT_SECONDS,
    STRAY_SECONDS,
    LiteAgent,
    Route,
)
from tests.checker import CONTROLLED, PRIORITY, Browser, met

HOME: Route = ("socket", ("192.0.2.7", 50000))
AWAY: Route = ("socket", ("198.51.100.9", 1024))


def come(browser: Browser, route: Route = HOME, now: float = 0.0, *, nominate: bool = True, **more: Any) -> None:
    """A check; the relay's question, if it has one, is answered, and so is the check."""
    replies = browser.agent.take(browser.check(nominate=nominate, **more), route, now)
    answers = [reply for reply in replies if not asks(reply)]
    for question in filter(asks, replies):
        answers += browser.agent.take(browser.reply(question), route, now)
    [answer] = answers
    assert theirs.parse_message(answer).attributes["XOR-MAPPED-ADDRESS"] == route[1]


def asks(reply: bytes) -> bool:
    return theirs.parse_message(reply).message_class == theirs.Class.REQUEST


def used(agent: LiteAgent) -> Route | None:
    return agent.in_use.route if agent.in_use is not None else None


def test_a_browser_that_answers_where_it_seems_to_be_is_sent_the_call() -> None:
    agent, browser = met()
    [question] = agent.take(browser.check(), HOME, 0.0)
    assert used(agent) is None, "the address may be somebody else's"
    [answer] = agent.take(browser.reply(question), HOME, 0.1)
    assert theirs.parse_message(answer).check_message_integrity(agent.password)
    assert used(agent) == HOME


def test_who_writes_another_ones_address_on_his_checks_cannot_have_the_call_sent_there() -> None:
    agent, browser = met()
    come(browser)
    got = sent = 0
    for n in range(1000):
        now = 10.0 + n / 50
        check = browser.check(nominate=True, priority=PRIORITY + 1)
        replies = agent.take(check, AWAY, now)
        got, sent = got + len(check), sent + sum(map(len, replies))
        for question in filter(asks, replies):  # he does not see it: it goes to the other one
            agent.take(browser.reply(question, password="guessed"), AWAY, now)
            agent.take(browser.reply(question, refuse=True), AWAY, now)
            agent.take(browser.reply(question), HOME, now)
    assert used(agent) == HOME
    assert sent <= got


def test_no_answer_is_longer_than_what_it_answers() -> None:
    agent, browser = met(user="u", password="p" * 22)
    for check in (browser.check(), browser.check(role=CONTROLLED), browser.check(nominate=True, spare=100)):
        for route in (HOME, ("socket", ("2001:db8:1:2:3:4:5:6", 9, 0, 0))):
            answers = agent.take(check, route, 0.0)
            assert not answers or len(answers[0]) <= len(check)


def test_who_has_not_answered_is_sent_no_more_bytes_than_came_from_there() -> None:
    agent, browser = met()
    got, sent = Counter[int](), Counter[int]()
    for n in range(1000):
        port = n % 40
        message = browser.check(nominate=True, spare=n % 3) if n % 5 else b"sound" * 7
        if n % 5:
            replies = agent.take(message, ("socket", ("192.0.2.9", port)), n / 90)
        else:
            replies = agent.follow(("socket", ("192.0.2.9", port)), len(message), n / 90)
        got[port], sent[port] = got[port] + len(message), sent[port] + sum(map(len, replies))
        assert sent[port] <= got[port]
    assert sum(sent.values()) > 10_000


def test_a_check_that_was_overheard_gets_nothing_wherever_it_is_repeated_from() -> None:
    agent, browser = met()
    come(browser)
    check = browser.check(nominate=True)
    assert agent.take(check, HOME, 1.0)
    for n in range(1000):
        assert agent.take(check, ("socket", ("203.0.113.1", n)), 1.0 + n / 100) == []
    assert agent.dropped == {"again": 1000}
    assert list(agent.ways) == [HOME]
    answered = sum(bool(agent.take(check, HOME, 2.0)) for _ in range(1000))
    assert answered == MAX_SENT - 1, "as often as a check is sent that gets lost"
    come(browser, now=12.0)


def test_the_first_to_deliver_a_check_takes_nothing_from_the_browser_behind_him() -> None:
    agent, browser = met()
    come(browser)
    check = browser.check(nominate=True)
    agent.take(check, AWAY, 1.0)
    assert agent.take(check, HOME, 1.001)
    assert agent.in_use is not None
    assert (used(agent), agent.in_use.heard) == (HOME, 1.001)


def test_however_many_checks_a_browser_makes_few_are_known_again() -> None:
    agent, browser = met()
    checks = [browser.check() for _ in range(2 * MAX_SEEN)]
    for n, check in enumerate(checks):
        agent.take(check, HOME, n / 50)
    again = [agent.take(check, AWAY, 60.0) for check in checks]
    assert agent.dropped["again"] >= MAX_SEEN - 200, "the last"
    assert any(again), "and not the first"


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
    assert agent.ways == {}


def test_before_it_knows_its_browser_nobody_is_answered() -> None:
    agent, browser = met()
    agent.meet("", "")
    assert agent.take(browser.check(), HOME, 0.0) == []


def test_a_browser_that_believes_to_obey_is_told_that_it_leads() -> None:
    agent, browser = met()
    [answer] = agent.take(browser.check(role=CONTROLLED), HOME, 0.0)
    assert theirs.parse_message(answer).error_code == 487
    assert used(agent) is None


def test_a_question_that_is_lost_is_asked_again_and_again_in_the_end() -> None:
    agent, browser = met()
    questions = []
    for n in range(20 * 60):
        questions += [(n / 20, reply) for reply in agent.take(browser.check(), HOME, n / 20) if asks(reply)]
    assert len({question for _, question in questions}) == 1, "one transaction, so that any of its answers counts"
    times = [at for at, _ in questions]
    assert sum(at < 12 for at in times) == MAX_ASKED, "seldom, where nobody answers"
    assert max(later - earlier for earlier, later in pairwise(times)) < 7, "but a way that was dark is light again"
    agent.take(browser.reply(questions[0][1]), HOME, 60.0)
    assert used(agent) == HOME


def test_an_answer_to_nothing_that_was_asked_is_nothing() -> None:
    agent, browser = met()
    [question] = agent.take(browser.check(), HOME, 0.0)
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
    assert agent.follow(AWAY, 60, 4.98) == [], "the question is longer than that"
    [question] = agent.follow(AWAY, 60, 5.0)
    assert used(agent) == HOME
    assert agent.follow(AWAY, 60, 5.02) == [], "one question is enough"
    agent.take(browser.reply(question), AWAY, 5.03)
    agent.follow(AWAY, 60, 5.04)
    assert used(agent) == AWAY


def test_packets_of_the_old_path_that_are_late_do_not_move_the_call_back() -> None:
    agent, browser = met()
    come(browser, HOME, 0.0)
    come(browser, AWAY, 5.0, nominate=False)
    agent.follow(AWAY, 60, 5.1)
    assert used(agent) == AWAY
    agent.follow(HOME, 60, 5.1 + STRAY_SECONDS / 2)
    assert used(agent) == AWAY
    agent.follow(HOME, 60, 5.2 + STRAY_SECONDS)
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


def test_an_address_that_another_call_has_proven_has_to_answer_another_question() -> None:
    agent, browser = met()
    [question] = agent.take(browser.check(), HOME, 0.0)
    agent.take(browser.reply(question), HOME, 0.0)
    agent.doubt(HOME, 0.5)
    assert used(agent) == HOME, "until there is another"
    [another, *_] = agent.take(browser.check(), HOME, 1.0)
    agent.take(browser.reply(question), HOME, 1.0)  # whoever has overheard it
    come(browser, AWAY, 1.1, nominate=False)
    assert used(agent) == AWAY, "at once, for it is proven and the other is not"
    agent.take(browser.reply(another), HOME, 1.2)
    assert agent.ways[HOME].proven
    agent.doubt(AWAY, 1.3)
    assert used(agent) == HOME, "without another word"


def test_a_call_whose_socket_is_gone_is_on_the_path_that_was_heard_last() -> None:
    agent, browser = met()
    others: list[Route] = [(f"socket {n}", AWAY[1]) for n in range(3)]
    come(browser, HOME, 0.0)
    for n, route in enumerate(others):
        come(browser, route, 1.0 - n / 10, nominate=False)
    agent.leave("socket")
    assert used(agent) == others[0]
    for socket, _ in others:
        agent.leave(socket)
    assert used(agent) is None
    assert agent.ways == {}


def test_strangers_use_up_nothing_of_what_the_browser_may_ask() -> None:
    agent, browser = met()
    come(browser)
    forged = browser.check(password="another password of 24 x")
    for n in range(20_000):
        assert agent.take(forged, HOME, n / 2000) == []
    come(browser, now=10.0)
    assert agent.dropped == {"unsigned": 20_000}


def test_a_flood_of_checks_is_held_to_a_rate() -> None:
    agent, browser = met()
    answered = sum(bool(agent.take(browser.check(), HOME, 0.0)) for _ in range(1000))
    assert answered == BURST_CHECKS
    assert agent.dropped == {"rate": 1000 - BURST_CHECKS}


def test_however_many_addresses_it_comes_from_few_are_remembered_and_the_one_in_use_always() -> None:
    agent, browser = met()
    come(browser, HOME, 0.0)
    for n in range(10 * MAX_WAYS):
        come(browser, ("socket", ("203.0.113.1", n + 1)), n / 10, nominate=False)
        come(browser, HOME, n / 10)
    assert len(agent.ways) == MAX_WAYS
    assert used(agent) == HOME
    assert len(agent.forgotten) == 9 * MAX_WAYS + 1, "the proven ones are told"


def test_the_same_question_is_asked_after_twice_as_long_each_time() -> None:
    agent, browser = met()
    asked = []
    for n in range(1000):
        if n < 800 and any(map(asks, agent.take(browser.check(), HOME, n / 100))):
            asked.append(n / 100)
    apart = [later - earlier for earlier, later in pairwise(asked)]
    assert apart == pytest.approx([ASK_AGAIN_SECONDS * 2**n for n in range(len(apart))], abs=0.011)
