"""Each fault once, by its script in `faults`: the call goes on, and how soon."""

from collections.abc import Callable
from typing import Final

from tests.network.faults import FLAGS, TALKATIVE, Return, address_change, blackout, question, reload, second_tab
from tests.running import running

RETURN_SECONDS: Final = 3.0  # sound both ways, and a reloaded page ready with the history
CLOSED_SECONDS: Final = 1.0
STALE_SECONDS: Final = 0.3  # sound that is older is worth nothing in a conversation
DARK_SECONDS: Final = 3.0  # Chromium, and the soak, have it dark for twenty

Measured = Callable[[str], None]


def judge(what: str, back: Return, measured: Measured) -> None:
    ready = f"is ready with the history after {1000 * back.ready:.0f} ms, " if back.ready else ""
    answered = f"reads an answer after {1000 * back.answered:.0f} ms, " if back.answered else ""
    measured(
        f"after {what} an aiortc caller {answered}{ready}hears after {1000 * back.down:.0f} ms, the model after "
        f"{1000 * back.up:.0f}, nothing older than {1000 * back.stale:.0f}; the old connection is closed after "
        f"{1000 * back.gone:.0f}"
    )
    assert max(back.down, back.up, back.ready, back.answered) < RETURN_SECONDS + back.stalled
    assert back.gone < CLOSED_SECONDS + back.stalled
    assert back.stale < STALE_SECONDS + back.stalled


async def test_a_caller_whose_address_changes_is_heard_and_hears_within_three_seconds(measured: Measured) -> None:
    async with running(*FLAGS, script=TALKATIVE) as house:
        judge("a change of address", await address_change(house), measured)


async def test_a_caller_that_gave_up_a_dark_path_is_back_within_three_seconds_of_light(measured: Measured) -> None:
    async with running(*FLAGS, script=TALKATIVE) as house:
        judge(f"{DARK_SECONDS:g} s of darkness", await blackout(house, DARK_SECONDS), measured)


async def test_a_reloaded_page_is_ready_with_the_history_within_three_seconds(measured: Measured) -> None:
    async with running(*FLAGS, script=TALKATIVE) as house:
        judge("a reload", await reload(house), measured)


async def test_what_is_typed_in_mid_answer_is_answered_in_words_and_the_answer_outlives_a_reload(
    measured: Measured,
) -> None:
    async with running(*FLAGS, script=TALKATIVE) as house:
        judge("a typed question and a reload", await question(house), measured)


async def test_the_connection_that_another_tab_replaced_is_told_and_closed_within_a_second(measured: Measured) -> None:
    async with running(*FLAGS, script=TALKATIVE) as house:
        closed = await second_tab(house)
        measured(f"a replaced connection is closed after {1000 * closed:.0f} ms")
        assert closed < CLOSED_SECONDS


async def test_an_owner_who_keeps_nothing_loses_no_caller_whose_address_changes() -> None:
    async with running(*FLAGS, "--keep", "0", script=TALKATIVE) as house:
        back = await address_change(house)
        assert back.down < RETURN_SECONDS + back.stalled, "ten seconds without a packet are no loss yet"
