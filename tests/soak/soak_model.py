"""The model's side, again and again: each fault a hundred times, and five minutes with connections of ten seconds.

`RELAY_SOAK_FAULTS` sets how often each fault happens (default 100), `RELAY_SOAK_CHANGES` how many connections are left
for the next (default 30, which takes five minutes of real time).
"""

import asyncio
import functools
import gc
import os
import statistics
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from relay.gemini.life import LATE_SECONDS
from tests import test_outages as outages
from tests import test_upstream as faults
from tests.network.stalls import Stalls
from tests.service import Visit, service
from tests.soak.rounds import TIMES
from tests.test_upstream import Owner

CHANGES: Final = int(os.environ.get("RELAY_SOAK_CHANGES", "30"))
LIFE_SECONDS: Final = 10.0
HOLE_SECONDS: Final = 0.2
MAX_GROWTH_MIB: Final = 2.0
WARM_CHANGES: Final = 5
NUMBERS: Final = struct.pack("<65536H", *range(65536))

FAULTS: Final[dict[str, Callable[[], None]]] = {
    "goAway, then 1011": lambda: faults.test_over_a_planned_change_no_sample_is_lost_or_doubled_and_the_hole_is_short(
        0.0, silent=False
    ),
    "goAway, then nothing; setup takes 0.8 s": lambda: (
        faults.test_over_a_planned_change_no_sample_is_lost_or_doubled_and_the_hole_is_short(0.8, silent=True)
    ),
    "goAway, then 1011; setup takes 3 s": lambda: (
        faults.test_over_a_planned_change_no_sample_is_lost_or_doubled_and_the_hole_is_short(3.0, silent=False)
    ),
    "silence in mid-sentence after goAway": (
        faults.test_a_model_that_falls_silent_in_mid_sentence_after_going_away_is_left_before_its_time
    ),
    "words during a change": faults.test_what_is_typed_during_a_change_arrives_once_in_its_place,
    "1000 in the middle of nothing": lambda: (
        faults.test_a_connection_that_ends_in_a_pause_is_resumed_and_nothing_is_said("1000 in the middle of nothing")
    ),
    "1011 in mid-sentence": lambda: (
        faults.test_after_a_crash_in_mid_sentence_the_model_listens_again_and_is_asked_to_go_on("1011", 0.0)
    ),
    "1006 in mid-sentence, and 3 s of nothing": lambda: (
        faults.test_after_a_crash_in_mid_sentence_the_model_listens_again_and_is_asked_to_go_on("1006", 3.0)
    ),
    "down for 40 s": faults.test_a_service_that_stays_down_is_given_up_after_thirty_seconds_and_one_word_is_said,
    "sound of a dead connection": faults.test_nothing_of_a_dead_connection_is_heard,
    "1011 after a question": faults.test_a_question_without_an_answer_is_asked_again_in_the_users_own_voice,
    "1011 after typed words": faults.test_typed_words_without_an_answer_are_told_once_more_and_once_only,
    "1011 while a function runs": faults.test_an_answer_to_a_call_of_a_dead_connection_is_told_in_words,
    "a refused handle": (
        faults.test_after_a_refused_handle_a_fresh_model_is_told_the_conversation_and_the_user_that_it_is_less
    ),
    "refused while the old socket is open": (
        faults.test_a_resumption_that_is_refused_because_the_old_socket_lingers_is_tried_again
    ),
    "a key that is revoked": lambda: faults.test_a_lasting_refusal_ends_it_at_once_without_another_attempt(
        1008, "API key not valid.", "key-refused", live=False
    ),
    **{
        f"{how} in mid-sentence": functools.partial(
            faults.test_after_a_crash_in_mid_sentence_the_model_listens_again_and_is_asked_to_go_on, how, 0.0
        )
        for how in ("1000 in the middle of nothing", "1001")
    },
    **{
        f"{how} in a pause": functools.partial(
            faults.test_a_connection_that_ends_in_a_pause_is_resumed_and_nothing_is_said, how
        )
        for how in ("1001", "1006", "1011")
    },
    "a result between two connections": (faults.test_an_answer_that_comes_between_two_connections_is_told_in_words),
    "a result that nothing followed": (faults.test_an_answer_that_was_sent_and_not_followed_is_told_again_in_words),
    "silence": outages.test_a_question_that_is_met_with_silence_is_asked_again_elsewhere_after_a_nudge,
    "a stall": outages.test_an_answer_that_breaks_off_is_asked_for_again_and_then_taken_up_elsewhere,
    "an empty turn": outages.test_a_turn_without_a_word_is_met_with_a_nudge_and_then_answered,
    "503 at the upgrade": outages.test_a_service_that_refuses_upgrades_for_a_while_is_asked_until_it_does_not,
    **{
        f"{how} between the marks": functools.partial(
            outages.test_a_question_between_our_own_marks_is_asked_whole_on_the_next_connection, how
        )
        for how in outages.ENDS
    },
    **{
        f"{what}, three times": functools.partial(
            outages.test_three_broken_messages_before_an_answer_cost_nothing, what
        )
        for what in outages.BROKEN
    },
    **{
        f"{what}, four times": functools.partial(outages.test_four_of_them_lead_to_a_connection_that_answers, what)
        for what in outages.BROKEN
    },
    "broken frames": faults.test_more_than_three_broken_frames_in_ten_seconds_lead_to_another_connection,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_many_times(fault: str) -> None:
    took = []
    for _ in range(TIMES):
        began = time.process_time()
        FAULTS[fault]()
        took.append(time.process_time() - began)
    print(f"\n{fault}: {TIMES} rounds, none lost; {1000 * statistics.median(took):.0f} ms of processor each", end="")


def resident() -> float:
    """MiB of memory that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def brief(visit: Visit) -> None:
    """Ten seconds: two answers, sent away after six, closed after ten."""
    await visit.ready(f"handle {visit.number}")
    for turn in range(2):
        await asyncio.sleep(1)
        await visit.speak(0.2, f"answer {turn}")
        await asyncio.sleep(0.5)
        await visit.finish(f"handle {visit.number}.{turn}")
    await asyncio.sleep(3)
    await visit.say(goAway={"timeLeft": "4s"})
    await asyncio.sleep(4)
    await visit.close(1011, "Deadline expired before operation could complete.")


def whole(pcm: bytearray, first: int) -> bool:
    """Whether these are all the numbers from `first` on, as samples."""
    begin = 2 * (first % 65536)
    times = (begin + len(pcm)) // len(NUMBERS) + 1
    return pcm == (NUMBERS * times)[begin : begin + len(pcm)]


async def test_connections_of_ten_seconds_are_left_cleanly_and_memory_stays_flat() -> None:
    memory: list[float] = []
    holes: list[float] = []
    async with service(brief) as there, Owner(there.url) as owner, Stalls() as stalls:
        owner.talk()
        heard = 0
        for number in range(CHANGES):
            async with asyncio.timeout(2 * LIFE_SECONDS):
                while len(there.visits) < number + 2 or there.visits[number + 1].first_pcm_at is None:
                    await asyncio.sleep(0.05)
            before, after = there.visits[number], there.visits[number + 1]
            assert before.closed_at is not None
            assert after.first_pcm_at is not None
            assert before.closed_at <= after.opened_at
            holes.append(after.first_pcm_at - before.closed_at)
            assert whole(before.pcm, heard), f"change {number + 1}"
            heard += len(before.pcm) // 2
            before.pcm.clear()
            owner.events.clear()
            memory.append(resident())
        await owner.hush()
        await owner.upstream.close()
        print(f"\n{CHANGES} changes, hole of the model's hearing: median {1000 * statistics.median(holes):.0f} ms, "
              f"worst {1000 * max(holes):.0f}; this process stood still for {1000 * stalls.longest:.0f}")  # fmt: skip
        print(f"memory {memory[0]:.1f} → {memory[-1]:.1f} MiB")
        assert owner.faults == []
        assert owner.upstream.changes.lost == 0
        assert owner.news == [] or max(holes) > LATE_SECONDS
        handles = [visit.handle for visit in there.visits[1:]]
        assert handles == [f"handle {number}.1" for number in range(1, len(handles) + 1)]
    # in real time: what stands still is this process, service and all, and no fault of what is tested
    assert sorted(holes)[len(holes) * 9 // 10] <= HOLE_SECONDS
    assert max(holes) <= HOLE_SECONDS + stalls.longest
    if CHANGES > WARM_CHANGES:
        assert memory[-1] - memory[WARM_CHANGES] <= MAX_GROWTH_MIB
