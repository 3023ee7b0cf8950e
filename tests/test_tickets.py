"""Resume secrets: they open their own session, change at every return, and are compared in the same time."""

import hmac
from typing import Any

import pytest

from signaling import tickets
from signaling.tickets import NOBODYS, SECRET_BYTES, Ticket, bearer


def test_a_secret_has_256_bits_of_chance_and_opens_its_own_session_alone() -> None:
    tickets = [Ticket() for _ in range(100)]
    issued = [ticket.issue() for ticket in tickets]
    assert len(set(issued)) == 100
    assert all(len(secret) * 6 >= SECRET_BYTES * 8 == 256 for secret in issued)
    for number, ticket in enumerate(tickets[:10]):
        assert [one for one in issued if ticket.admits(one)] == [issued[number]]


@pytest.mark.parametrize("secret", ["", " ", "x", "\udcff", "ä", "x" * 10_000])
def test_nothing_opens_what_has_issued_nothing(secret: str) -> None:
    assert not Ticket().admits(secret)
    assert not NOBODYS.admits(secret)


def test_a_secret_is_not_kept() -> None:
    ticket = Ticket()
    secret = ticket.issue()
    kept = [getattr(ticket, name) for name in vars(ticket)]
    assert secret not in repr(kept)
    assert secret.encode() not in kept


def test_the_old_one_is_good_until_the_new_one_is_used() -> None:
    ticket = Ticket()
    old = ticket.issue()
    assert ticket.admits(old)
    new = ticket.issue()
    assert ticket.admits(old)
    assert ticket.admits(old)
    assert ticket.admits(new)
    assert not ticket.admits(old)
    assert ticket.admits(new)


def test_the_old_one_is_good_until_the_peer_of_the_new_one_connects() -> None:
    ticket = Ticket()
    old = ticket.issue(0)
    assert ticket.admits(old, 1)  # the first connection, by the first secret
    new = ticket.issue(1)
    assert ticket.admits(old, 1)
    assert not ticket.admits(old, 2)
    assert ticket.admits(new, 2)


def test_an_answer_that_never_arrived_locks_nobody_out() -> None:
    ticket = Ticket()
    old = ticket.issue()
    lost = []
    for _ in range(3):
        assert ticket.admits(old)
        lost.append(ticket.issue())
    assert ticket.admits(old)
    new = ticket.issue()
    assert not any(ticket.admits(one) for one in lost)
    assert ticket.admits(new)
    assert not ticket.admits(old)


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic abc", ""),
        ("abc", ""),
        ("Bearer", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_secret_stands_in_the_authorization_header(header: str | None, secret: str) -> None:
    assert bearer(header) == secret


def test_right_wrong_old_and_unknown_are_told_by_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    work: list[list[tuple[int, int]]] = [[]]

    def compare(one: Any, other: Any) -> bool:
        work[-1].append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    class Spied:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(tickets, "hmac", Spied)
    ticket = Ticket()
    old = ticket.issue()
    assert ticket.admits(old)
    work.clear()
    new = ticket.issue()
    for asked, secret in [(ticket, old), (ticket, new), (ticket, old), (ticket, "x"), (NOBODYS, "x"), (NOBODYS, "")]:
        work.append([])
        asked.admits(secret)
    assert work == [[(32, 32), (32, 32)]] * 6
