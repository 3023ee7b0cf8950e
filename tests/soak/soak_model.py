"""The model's side, again and again: each fault a hundred times, and five minutes with connections of ten seconds.

`RELAY_SOAK_FAULTS` sets how often each fault happens (default 100), `RELAY_SOAK_CHANGES` how many connections are left
for the next (default 30, which takes five minutes of real time).
"""

import asyncio
import gc
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from relay.gemini.life import LATE_SECONDS
from tests import test_upstream as faults
from tests.service import Visit, service
from tests.test_upstream import Owner

TIMES: Final = int(os.environ.get("RELAY_SOAK_FAULTS", "100"))
CHANGES: Final = int(os.environ.get("RELAY_SOAK_CHANGES", "30"))
LIFE_SECONDS: Final = 10.0
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
    "broken frames": faults.test_more_than_three_broken_frames_in_ten_seconds_lead_to_another_connection,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_many_times(fault: str) -> None:
    for _ in range(TIMES):
        FAULTS[fault]()


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
    async with service(brief) as there, Owner(there.url) as owner:
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
        print(f"\n{CHANGES} changes, longest hole {1000 * max(holes):.0f} ms")
        print(f"memory {memory[0]:.1f} → {memory[-1]:.1f} MiB")
        assert owner.faults == []
        assert owner.upstream.changes.lost == 0
        assert owner.news == [] or max(holes) > LATE_SECONDS
        handles = [visit.handle for visit in there.visits[1:]]
        assert handles == [f"handle {number}.1" for number in range(1, len(handles) + 1)]
    # in real time, on a machine that has other work too: the others show what it was busy with
    assert sorted(holes)[len(holes) * 9 // 10] <= 0.2
    if CHANGES > WARM_CHANGES:
        assert memory[-1] - memory[WARM_CHANGES] <= MAX_GROWTH_MIB
