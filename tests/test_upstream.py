"""The model's side over all its connections, against a service on loopback that fails as told; hours take no time."""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Self

import pytest
from google.genai import types

from relay.errors import ModelFault, RelayError
from relay.gemini import events, life, protocol, recall
from relay.gemini.events import Event
from relay.gemini.handshake import Target
from relay.gemini.unheard import LEAD_SECONDS, MAX_WORDS, PIECE_SECONDS, QUESTION_SECONDS, WAITING_SECONDS
from relay.gemini.upstream import Upstream
from tests.memory import Memory
from tests.service import INTERNAL, INVALID, Service, Visit, run, service

MODEL: Final = "gemini-3.8-live"
PIECE: Final = round(16_000 * PIECE_SECONDS)  # samples


class Owner:
    """Who owns the model's side: notes what it is told, and talks."""

    def __init__(self, url: str, model: str = MODEL, prior: Sequence[tuple[str, str]] = ()) -> None:
        self.events: list[Event] = []
        self.news: list[str] = []
        self.faults: list[RelayError] = []
        self.memory = Memory(prior)
        self.loop = asyncio.get_running_loop()
        self.upstream = Upstream(
            Target(url, model),
            types.LiveConnectConfig(session_resumption=types.SessionResumptionConfig()),
            self._hear,
            self.faults.append,
            on_news=self.news.append,
            memory=self.memory,
            chance=lambda: 0.5,
        )
        self.samples = 0
        self._talking: asyncio.Task[None] | None = None

    def _hear(self, event: Event) -> None:
        self.events.append(event)

    def say_piece(self) -> None:
        """20 ms of sound in which every sample is another number."""
        numbers = range(self.samples, self.samples + PIECE)
        self.samples += PIECE
        self.upstream.send_audio(struct.pack(f"<{PIECE}H", *(number % 65536 for number in numbers)))

    async def _talk(self) -> None:
        begin = self.loop.time()
        pieces = 0
        while True:
            self.say_piece()
            pieces += 1
            await asyncio.sleep(begin + pieces * PIECE_SECONDS - self.loop.time())

    def talk(self) -> None:
        self._talking = asyncio.create_task(self._talk())

    async def hush(self) -> None:
        if self._talking is not None:
            self._talking.cancel()
            await asyncio.wait([self._talking])
            self._talking = None

    def heard(self) -> list[Event]:
        """All but handles and setups."""
        quiet = (events.SetupComplete, events.ResumptionUpdate, events.GoAway)
        return [event for event in self.events if not isinstance(event, quiet)]

    async def __aenter__(self) -> Self:
        await self.upstream.connect()
        self.upstream.begin(())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.hush()
        await self.upstream.close()
        assert not self.upstream.live


def counted(pcm: bytes | bytearray) -> list[int]:
    """The numbers of the samples."""
    return list(struct.unpack(f"<{len(pcm) // 2}H", pcm))


def whole(owner: Owner, there: Service) -> None:
    """Every sample was heard once, in order."""
    assert counted(there.pcm) == [number % 65536 for number in range(owner.samples)]


async def listen(visit: Visit) -> None:
    await visit.ready(f"handle {visit.number}")
    await visit.listen()


def ready_after(seconds: float) -> Callable[[Visit], Awaitable[None]]:
    async def script(visit: Visit) -> None:
        await asyncio.sleep(seconds)
        await listen(visit)

    return script


def one_at_a_time(there: Service) -> None:
    for before, after in zip(there.visits, there.visits[1:], strict=False):
        assert before.closed_at is not None
        assert before.closed_at <= after.opened_at


# -- planned changes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", [0.0, 0.8, 3.0])
@pytest.mark.parametrize("silent", [False, True])
def test_over_a_planned_change_no_sample_is_lost_or_doubled_and_the_hole_is_short(setup: float, silent: bool) -> None:
    sent_away = 0.0

    async def going(visit: Visit) -> None:
        nonlocal sent_away
        await visit.ready("handle 1")
        await asyncio.sleep(3)
        await visit.say(goAway={"timeLeft": "50s"})
        sent_away = asyncio.get_running_loop().time()
        await asyncio.sleep(50)
        if not silent:
            await visit.close(1011, "Deadline expired before operation could complete.")

    async def main() -> None:
        async with service(going, ready_after(setup)) as there, Owner(there.url) as owner:
            owner.talk()
            await asyncio.sleep(12)
            await owner.hush()
            await asyncio.sleep(1)
            whole(owner, there)
            one_at_a_time(there)
            second = there.visits[1]
            assert second.handle == "handle 1"
            assert second.first_pcm_at is not None
            assert second.first_pcm_at - sent_away <= setup + 0.2
            assert owner.faults == []
            assert owner.news == (["reconnecting", "resumed"] if setup > life.LATE_SECONDS else [])
            assert owner.heard() == []
            assert second.texts == []
            assert there.refused_as_second == 0
            assert (owner.upstream.changes.left, owner.upstream.changes.lost) == (1, 0)

    run(main)


def test_a_connection_that_is_never_sent_away_is_left_at_nine_minutes() -> None:
    async def main() -> None:
        async with service(listen) as there, Owner(there.url):
            await asyncio.sleep(3600)
            ages = [visit.closed_at - visit.opened_at for visit in there.visits if visit.closed_at is not None]
            assert len(ages) == 6
            assert all(life.ROTATE_SECONDS <= age < life.ROTATE_SECONDS + 1 for age in ages)
            assert [visit.handle for visit in there.visits[1:]] == [f"handle {n}" for n in range(1, 7)]
            one_at_a_time(there)

    run(main)


def test_a_sentence_is_not_cut_by_a_planned_change() -> None:
    async def going(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.speak(0.2, "It is")
        await visit.say(goAway={"timeLeft": "50s"})
        for _ in range(20):
            await asyncio.sleep(0.5)
            await visit.speak(0.2, " still")
        await visit.finish("handle 2")
        await visit.listen()

    async def main() -> None:
        async with service(going, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(0.1)
            owner.upstream.playing(True)
            await asyncio.sleep(14)
            assert len(there.visits) == 1, "it is still to be heard"
            owner.upstream.playing(False)
            await asyncio.sleep(1)
            assert [visit.handle for visit in there.visits] == [None, "handle 2"]
            assert [type(event) for event in owner.heard()].count(events.Audio) == 21
            assert events.Interrupted() not in owner.events
            assert there.visits[1].heard == [], "the handle holds it all"

    run(main)


def test_a_model_that_falls_silent_in_mid_sentence_after_going_away_is_left_before_its_time() -> None:
    async def going(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.speak(0.2, "It is")
        await visit.say(goAway={"timeLeft": "50s"})
        await visit.listen()

    async def main() -> None:
        async with service(going, listen) as there, Owner(there.url) as owner:
            owner.memory.turns.append(("user", "how is it?"))
            owner.memory.turns.append(("model", "It is"))
            begin = owner.loop.time()
            await asyncio.sleep(50)
            first, second = there.visits
            assert first.closed_at is not None
            assert 44 < first.closed_at - begin < 45.5
            assert owner.heard()[-2:] == [events.Interrupted(), events.TurnComplete()]
            assert second.texts[-1] == recall.GO_ON

    run(main)


def test_what_is_typed_during_a_change_arrives_once_in_its_place() -> None:
    async def going(visit: Visit) -> None:
        await visit.ready("handle 1")
        await asyncio.sleep(1)
        await visit.say(goAway={"timeLeft": "50s"})
        await visit.listen()

    async def main() -> None:
        async with service(going, ready_after(2)) as there, Owner(there.url) as owner:
            await asyncio.sleep(1.5)
            assert not owner.upstream.live
            for text in ("one", "two", "three"):
                owner.say_piece()
                assert owner.upstream.send(protocol.text_message(text))
            assert not owner.upstream.send_picture(b"jpeg"), "it would be old"
            owner.say_piece()
            await asyncio.sleep(5)
            assert there.visits[1].order == ["audio", "text", "audio", "text", "audio", "text", "audio"]
            assert there.visits[1].texts == ["one", "two", "three"]
            whole(owner, there)
            assert owner.upstream.send_picture(b"jpeg")

    run(main)


def test_five_seconds_of_sound_wait_and_so_many_words() -> None:
    async def main() -> None:
        async with service(listen, ready_after(9)) as there, Owner(there.url) as owner:
            owner.upstream.renew()
            owner.talk()
            taken = [owner.upstream.send(protocol.text_message(str(n))) for n in range(MAX_WORDS + 1)]
            await asyncio.sleep(9.5)
            await owner.hush()
            await asyncio.sleep(1)
            assert taken == [True] * MAX_WORDS + [False]
            heard = counted(there.pcm)
            lost = owner.samples - len(heard)
            assert heard == [number % 65536 for number in range(lost, owner.samples)]
            assert 9 - WAITING_SECONDS - 0.1 < lost / 16_000 < 9 - WAITING_SECONDS + 0.1
            assert owner.upstream.changes.audio_dropped * PIECE == lost
            assert there.visits[1].texts == [str(n) for n in range(MAX_WORDS)]

    run(main)


# -- losses ---------------------------------------------------------------------------------------------------

ENDS: Final = {
    "1000 in the middle of nothing": (1000, "The operation was cancelled."),
    "1001": (1001, ""),
    "1011": (1011, INTERNAL),
    "1006": (1006, ""),
}


async def end(visit: Visit, how: str) -> None:
    code, reason = ENDS[how]
    if code == 1006:
        visit.cut()
    else:
        await visit.close(code, reason)


@pytest.mark.parametrize("how", ENDS)
def test_a_connection_that_ends_in_a_pause_is_resumed_and_nothing_is_said(how: str) -> None:
    async def ending(visit: Visit) -> None:
        await visit.ready("handle 1")
        await asyncio.sleep(2)
        await end(visit, how)

    async def main() -> None:
        async with service(ending, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(3)
            assert owner.news == ["reconnecting", "resumed"]
            assert [visit.handle for visit in there.visits] == [None, "handle 1"]
            assert there.visits[1].opened_at - there.visits[0].opened_at < 2.3
            assert there.visits[1].heard == []
            assert owner.heard() == []
            assert owner.upstream.changes.lost == 1

    run(main)


def test_it_is_resumed_from_the_newest_handle_that_may_be() -> None:
    async def ending(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.say(sessionResumptionUpdate={})
        await visit.offer("handle 2")
        await visit.say(sessionResumptionUpdate={"newHandle": "handle 3"})
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(ending, listen) as there, Owner(there.url):
            await asyncio.sleep(1)
            assert [visit.handle for visit in there.visits] == [None, "handle 2"]

    run(main)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("down", [0.0, 3.0])
def test_after_a_crash_in_mid_sentence_the_model_listens_again_and_is_asked_to_go_on(how: str, down: float) -> None:
    async def crashing(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.until(lambda visit: visit.texts)
        await visit.speak(1.0, "It is a quarter")
        await asyncio.sleep(1)
        await end(visit, how)

    async def main() -> None:
        async with service(crashing, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(0.1)
            owner.upstream.send(protocol.text_message("what time is it?"))
            owner.memory.turns.append(("user", "what time is it?"))
            await asyncio.sleep(0.5)
            owner.memory.turns.append(("model", "It is a"))
            if down:
                await there.pause(down + 1)
            while not owner.upstream.changes.lost:
                await asyncio.sleep(0.01)
            back = owner.loop.time()
            while not owner.upstream.live and not owner.faults:
                await asyncio.sleep(0.01)
            assert owner.loop.time() - back <= 1.0
            await asyncio.sleep(0.1)
            assert owner.heard()[-2:] == [events.Interrupted(), events.TurnComplete()]
            assert there.visits[-1].texts == ["user: what time is it?", "model: It is a", recall.GO_ON]
            assert there.visits[-1].order == ["clientContent", "text"]
            assert owner.news == ["reconnecting", "resumed"]

    run(main)


def test_a_service_that_stays_down_is_given_up_after_thirty_seconds_and_one_word_is_said() -> None:
    async def main() -> None:
        async with service(listen) as there, Owner(there.url) as owner:
            begin = owner.loop.time()
            await there.down()
            while not owner.faults:
                await asyncio.sleep(0.1)
            assert 29.9 < owner.loop.time() - begin < 30.2
            await there.up()
            await asyncio.sleep(40)
            assert [fault.code for fault in owner.faults] == ["model-lost"]
            assert owner.news == ["reconnecting"]
            assert len(there.visits) == 1
            assert not owner.upstream.send(protocol.text_message("hello?"))
            assert not owner.upstream.send_audio(bytes(640))

    run(main)


def test_nothing_of_a_dead_connection_is_heard() -> None:
    async def going(visit: Visit) -> None:
        await visit.ready("handle 1")
        await asyncio.sleep(1)
        await asyncio.gather(
            visit.say(goAway={"timeLeft": "50s"}),
            *(visit.speak(0.2, "too late") for _ in range(50)),
            return_exceptions=True,
        )
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(going, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(5)
            assert len(there.visits) == 2
            assert owner.heard() == []

    run(main)


def test_a_question_without_an_answer_is_asked_again_in_the_users_own_voice() -> None:
    onset = 0

    async def crashing(visit: Visit) -> None:
        await visit.ready("handle 1")
        await asyncio.sleep(4)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        nonlocal onset
        async with service(crashing, ready_after(0.8)) as there, Owner(there.url) as owner:
            owner.talk()
            await asyncio.sleep(2.1)
            onset = owner.samples
            await asyncio.sleep(0.1)
            owner.upstream.utterance(True, owner.loop.time() - 0.1)
            await asyncio.sleep(1.3)
            owner.upstream.utterance(False, owner.loop.time() - 0.5)
            owner.memory.turns.append(("user", "what time is it?"))
            await asyncio.sleep(4)
            await owner.hush()
            await asyncio.sleep(0.5)
            heard = counted(there.visits[1].pcm)
            begin = heard[0]
            assert heard == [number % 65536 for number in range(begin, owner.samples)], "whole, in order, once"
            assert 0 <= (onset - begin) / 16_000 - LEAD_SECONDS <= 0.1
            assert there.visits[1].texts == [], "what he said is not told in writing, too"
            assert owner.heard() == []

    run(main)


def test_of_a_long_question_the_last_fifteen_seconds_are_kept() -> None:
    async def main() -> None:
        async with service(listen) as there, Owner(there.url) as owner:
            owner.upstream.utterance(True, owner.loop.time())
            owner.talk()
            await asyncio.sleep(40)
            owner.upstream.renew()
            await asyncio.sleep(1)
            await owner.hush()
            await asyncio.sleep(0.5)
            again = counted(there.visits[1].pcm)
            assert abs(len(again) / 16_000 - QUESTION_SECONDS - 1) < 0.1
            assert again == [number % 65536 for number in range(owner.samples - len(again), owner.samples)]

    run(main)


def test_an_answered_question_is_not_asked_again() -> None:
    async def answering(visit: Visit) -> None:
        await visit.ready("handle 1")
        await asyncio.sleep(2)
        await visit.speak(1.0, "It is noon.")
        await visit.finish()
        await asyncio.sleep(1)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(answering, listen) as there, Owner(there.url) as owner:
            owner.upstream.utterance(True, owner.loop.time())
            for _ in range(50):
                owner.say_piece()
            owner.upstream.utterance(False, owner.loop.time())
            await asyncio.sleep(2.5)
            owner.memory.turns += [("user", "what time is it?"), ("model", "It is noon.")]
            await asyncio.sleep(1)
            assert there.visits[1].pcm == b""
            assert there.visits[1].texts == ["user: what time is it?", "model: It is noon."]
            assert events.Interrupted() not in owner.events

    run(main)


def test_what_interrupts_an_answer_is_asked_again_and_the_answer_is_not_gone_on_with() -> None:
    async def crashing(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.speak(1.0, "Once upon a time")
        await asyncio.sleep(2)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(crashing, listen) as there, Owner(there.url) as owner:
            owner.memory.turns += [("user", "a story, please"), ("model", "Once upon")]
            await asyncio.sleep(1)
            owner.upstream.utterance(True, owner.loop.time())
            for _ in range(50):
                owner.say_piece()
            await asyncio.sleep(2)
            assert counted(there.visits[1].pcm) == list(range(50 * PIECE))
            assert recall.GO_ON not in there.visits[1].texts

    run(main)


async def dies_of_words(visit: Visit) -> None:
    """It ends when it has read something, without an answer."""
    await visit.ready("handle 1")
    await visit.until(lambda visit: visit.texts)
    await visit.close(1011, INTERNAL)


def test_typed_words_without_an_answer_are_told_once_more_and_once_only() -> None:
    async def answering(visit: Visit) -> None:
        await visit.ready()
        await visit.until(lambda visit: visit.texts)
        await asyncio.sleep(1)
        await visit.speak(0.5, "Yes.")
        await visit.finish("handle 2")
        await asyncio.sleep(20)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(dies_of_words, answering, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(1)
            owner.upstream.send(protocol.text_message("are you there?"))
            owner.memory.turns.append(("user", "are you there?"))
            await asyncio.sleep(0.5)
            owner.memory.turns.append(("model", "Yes."))
            await asyncio.sleep(30)
            assert [visit.texts for visit in there.visits] == [["are you there?"], ["are you there?"], []]

    run(main)


def test_a_service_that_accepts_the_same_setup_twice_is_told_nothing_twice() -> None:
    async def repeating(visit: Visit) -> None:
        await visit.ready()
        await visit.until(lambda visit: visit.texts)
        await visit.say(setupComplete={})
        await listen(visit)

    async def main() -> None:
        async with service(dies_of_words, repeating) as there, Owner(there.url) as owner:
            await asyncio.sleep(1)
            owner.upstream.send(protocol.text_message("are you there?"))
            await asyncio.sleep(5)
            assert [visit.texts for visit in there.visits] == [["are you there?"], ["are you there?"]]

    run(main)


def test_what_was_to_be_remembered_is_told_again_until_a_handle_holds_it() -> None:
    async def main() -> None:
        async with service(listen, listen, talks, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(1)
            owner.upstream.send(protocol.content_message([("user", "I am Ann.")], False))
            owner.memory.turns.append(("user", "I am Ann."))
            for _ in range(3):
                await asyncio.sleep(8)
                owner.upstream.renew()
            await asyncio.sleep(1)
            told = ["user: I am Ann."]
            assert [visit.texts for visit in there.visits] == [told, told, told, []]

    async def talks(visit: Visit) -> None:
        await visit.ready("handle 3")
        await asyncio.sleep(2)
        await visit.speak(0.5, "Hello.")
        await visit.finish("handle that holds it")
        await visit.listen()

    run(main)


NOTE: Final = protocol.content_message([("user", "I am Ann.")], False)


class Writer(Owner):
    """An owner whose user writes what is to be remembered when the model's turn ends, as an app may."""

    notes = 0

    def _hear(self, event: Event) -> None:
        super()._hear(event)
        if isinstance(event, events.TurnComplete) and self.notes:
            self.notes -= 1
            assert self.upstream.send(NOTE)
            self.memory.turns.append(("user", "I am Ann."))


@pytest.mark.parametrize("planned", [False, True])
def test_what_was_to_be_remembered_when_a_turn_ended_is_not_lost_with_the_handle_of_that_turn(planned: bool) -> None:
    async def going(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.speak(0.5, "Hello.")
        if planned:
            await visit.say(goAway={"timeLeft": "50s"})
        await asyncio.sleep(1)
        await visit.finish("handle of before the note")
        await asyncio.sleep(0.2)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(going, listen) as there, Writer(there.url) as owner:
            owner.notes = 1
            await asyncio.sleep(0.5)
            owner.memory.turns.append(("model", "Hello."))
            await asyncio.sleep(2)
            assert [visit.handle for visit in there.visits] == [None, "handle of before the note"]
            assert [visit.texts for visit in there.visits][-1] == ["user: I am Ann."]

    run(main)


def test_what_is_typed_when_a_turn_ends_is_known_to_whoever_goes_on_with_its_answer() -> None:
    async def crashing(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.speak(0.5, "Hello.")
        await asyncio.sleep(1)
        await visit.finish()
        await visit.until(lambda visit: visit.texts)
        await visit.offer("handle of before the question")
        await visit.speak(0.5, "It is noon")
        await asyncio.sleep(1)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(crashing, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(0.5)
            owner.memory.turns.append(("model", "Hello."))
            await asyncio.sleep(0.6)
            owner.upstream.send(protocol.text_message("what time is it?"))
            owner.memory.turns.append(("user", "what time is it?"))
            await asyncio.sleep(0.5)
            owner.memory.turns.append(("model", "It is"))
            await asyncio.sleep(2)
            assert there.visits[1].texts == ["user: what time is it?", "model: It is", recall.GO_ON]

    run(main)


# -- what was said before ---------------------------------------------------------------------------------------

PRIOR: Final = [("user", "I am Ada."), ("model", "Hello, Ada."), ("user", "I like tea.")]
PRIOR_TOLD: Final = ["user: I am Ada.", "model: Hello, Ada.", "user: I like tea."]
STRICT: Final = "gemini-3.1-flash-live-preview"


def contents(visit: Visit) -> list[bool]:
    """Whether each content is complete."""
    return [body["turnComplete"] for kind, body in visit.heard if kind == "clientContent"]


def test_what_was_said_before_the_call_is_told_at_once_and_again_until_a_handle_holds_it() -> None:
    async def talks(visit: Visit) -> None:
        await visit.ready("handle 2")
        await asyncio.sleep(1)
        await visit.speak(0.5, "Hello.")
        await visit.finish("handle that holds it")
        await asyncio.sleep(1)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(crash, talks, listen) as there, Owner(there.url, prior=PRIOR) as owner:
            await asyncio.sleep(5)
            assert [visit.handle for visit in there.visits] == [None, "handle 1", "handle that holds it"]
            assert [visit.texts for visit in there.visits] == [PRIOR_TOLD, PRIOR_TOLD, []]
            assert owner.news == ["reconnecting", "resumed"] * 2

    run(main)


def test_a_greeting_without_an_answer_is_asked_for_again_and_nothing_is_told_twice() -> None:
    async def main() -> None:
        async with service(crash, listen) as there:
            owner = Owner(there.url, prior=PRIOR)
            owner.memory.turns.append(("user", "I am Ann."))  # written before the model listens
            try:
                await owner.upstream.connect()
                owner.upstream.begin([NOTE])
                owner.upstream.send(protocol.text_message("Say hello."))
                await asyncio.sleep(3)
                told = [*PRIOR_TOLD, "user: I am Ann.", "Say hello."]
                assert [visit.texts for visit in there.visits] == [told, told]
            finally:
                await owner.upstream.close()

    run(main)


def test_what_is_written_before_the_conversation_begins_is_not_told_before() -> None:
    async def main() -> None:
        async with service(crash, listen) as there:
            owner = Owner(there.url, prior=PRIOR)
            try:
                await owner.upstream.connect()
                owner.memory.turns.append(("user", "I am Ann."))
                await asyncio.sleep(2)
                assert [visit.texts for visit in there.visits] == [PRIOR_TOLD, PRIOR_TOLD]
                owner.upstream.begin([NOTE])
                await asyncio.sleep(1)
                assert there.visits[1].texts == [*PRIOR_TOLD, "user: I am Ann."]
            finally:
                await owner.upstream.close()

    run(main)


def test_what_is_written_between_two_connections_is_told_once() -> None:
    async def main() -> None:
        async with service(crash, ready_after(2)) as there, Owner(there.url) as owner:
            await asyncio.sleep(2)
            owner.upstream.send(NOTE)
            owner.memory.turns.append(("user", "I am Ann."))
            owner.upstream.send(protocol.text_message("who am I?"))
            owner.memory.turns.append(("user", "who am I?"))
            await asyncio.sleep(3)
            assert there.visits[1].texts == ["user: I am Ann.", "who am I?"]

    run(main)


def test_a_model_that_takes_content_at_the_beginning_alone_is_told_what_was_said_before_there() -> None:
    async def main() -> None:
        async with service(crash, listen) as there, Owner(there.url, STRICT, prior=PRIOR):
            await asyncio.sleep(3)
            for visit in there.visits:
                assert visit.setup["setup"]["historyConfig"] == {"initialHistoryInClientContent": True}
                assert visit.handle is None, "which would hold nothing"
                assert visit.texts == PRIOR_TOLD
                assert contents(visit) == [True]

    run(main)


def test_such_a_model_is_not_told_what_would_end_its_connection() -> None:
    async def main() -> None:
        async with service(listen) as there, Owner(there.url, STRICT) as owner:
            assert not owner.upstream.send(NOTE), "and the app is told so"
            assert owner.upstream.send(protocol.text_message("who am I?"))
            await asyncio.sleep(1)
            assert there.visits[0].texts == ["who am I?"]

    run(main)


def test_such_a_model_is_told_the_conversation_after_a_refused_handle_and_nothing_after_a_good_one() -> None:
    async def talks(visit: Visit) -> None:
        await visit.ready("handle of the setup")
        await asyncio.sleep(1)
        await visit.speak(0.5, "Hello.")
        await visit.finish(f"handle {visit.number}")
        await asyncio.sleep(1)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        scripts = [talks, talks, refusing(1007, INVALID), listen]
        async with service(*scripts) as there, Owner(there.url, STRICT) as owner:
            await asyncio.sleep(1.5)
            owner.memory.turns += [("user", "hello?"), ("model", "Hello.")]
            await asyncio.sleep(8)
            assert [visit.handle for visit in there.visits] == [None, "handle 1", "handle 2", None]
            assert ["historyConfig" in visit.setup["setup"] for visit in there.visits] == [False, False, False, True]
            assert [visit.texts for visit in there.visits] == [[], [], [], ["user: hello?", "model: Hello."]]
            assert owner.news[-1] == "memory-shortened"

    run(main)


# -- tools ----------------------------------------------------------------------------------------------------


def answer(id: str = "c1") -> protocol.Answer:
    return protocol.tool_message(id, "get_weather", {"output": "rain"})


TOLD: Final = recall.RETURNED % ("get_weather", '{"output": "rain"}')


def test_an_answer_to_a_call_of_a_dead_connection_is_told_in_words() -> None:
    async def crashing(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.call("c1", "get_weather", city="Paris")
        await asyncio.sleep(1)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(crashing, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(2)
            assert there.visits[1].texts == ["user: " + recall.CALLED % 'get_weather({"city": "Paris"})']
            assert owner.upstream.answer(answer(), 1)
            await asyncio.sleep(1)
            assert there.visits[1].texts[1:] == [TOLD]
            assert not [kind for kind, _ in there.visits[1].heard if kind == "toolResponse"]
            assert events.Interrupted() not in owner.events

    run(main)


def test_an_answer_that_comes_between_two_connections_is_told_in_words() -> None:
    async def crashing(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.call("c1", "get_weather")
        await asyncio.sleep(1)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(crashing, ready_after(2)) as there, Owner(there.url) as owner:
            await asyncio.sleep(2)
            assert owner.upstream.answer(answer(), 1)
            await asyncio.sleep(3)
            assert there.visits[1].texts == [TOLD]

    run(main)


def test_an_answer_that_was_sent_and_not_followed_is_told_again_in_words() -> None:
    async def crashing(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.call("c1", "get_weather")
        await visit.until(lambda visit: visit.heard)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(crashing, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(1)
            assert owner.upstream.answer(answer(), 1)
            await asyncio.sleep(2)
            assert [kind for kind, _ in there.visits[0].heard] == ["toolResponse"]
            assert there.visits[1].texts == [TOLD]

    run(main)


def test_while_a_call_is_open_a_connection_is_not_left_by_plan() -> None:
    async def going(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.call("c1", "get_weather")
        await visit.say(goAway={"timeLeft": "50s"})
        await visit.until(lambda visit: visit.heard)
        await visit.speak(0.2, "Rain.")
        await visit.finish("handle 2")
        await visit.listen()

    async def main() -> None:
        async with service(going, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(20)
            assert len(there.visits) == 1
            owner.upstream.answer(answer(), 1)
            await asyncio.sleep(1)
            assert [kind for kind, _ in there.visits[0].heard] == ["toolResponse"]
            assert [visit.handle for visit in there.visits] == [None, "handle 2"]
            assert there.visits[1].heard == []

    run(main)


def test_an_answer_is_for_the_connection_that_asked_though_another_uses_its_id() -> None:
    async def crashing(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.call("c1", "get_weather")
        await asyncio.sleep(1)
        await visit.close(1011, INTERNAL)

    async def calling(visit: Visit) -> None:
        await visit.ready("handle 2")
        await visit.call("c1", "get_weather", city="Rome")
        await visit.listen()

    async def main() -> None:
        async with service(crashing, calling) as there, Owner(there.url) as owner:
            await asyncio.sleep(2)
            assert owner.upstream.answer(answer(), 1)
            await asyncio.sleep(1)
            second = there.visits[1]
            assert second.texts[-1] == TOLD
            assert not [kind for kind, _ in second.heard if kind == "toolResponse"]
            assert owner.upstream.answer(answer(), 2)
            await asyncio.sleep(1)
            assert [kind for kind, _ in second.heard if kind == "toolResponse"] == ["toolResponse"]

    run(main)


@pytest.mark.parametrize("model", ["gemini-3.8-live", "gemini-3.1-flash-live-preview"])
def test_what_was_promised_to_another_connection_and_is_called_off_is_told_to_it_where_it_can_be(model: str) -> None:
    async def crashing(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.call("c1", "get_weather")
        await asyncio.sleep(1)
        await visit.close(1011, INTERNAL)

    async def main() -> None:
        async with service(crashing, listen) as there, Owner(there.url, model=model) as owner:
            await asyncio.sleep(2)
            call = events.FunctionCall("c1", "get_weather", {})
            owner.upstream.call_off([(1, call)])
            owner.upstream.call_off([(1, call)])
            await asyncio.sleep(1)
            told = [recall.CALLED % "get_weather({})", recall.CALLED_OFF % "get_weather({})"]
            assert there.visits[1].texts == ([] if "3.1" in model else [f"user: {text}" for text in told])

    run(main)


@pytest.mark.parametrize("id", ["c1", ""])
def test_a_call_that_will_have_no_answer_keeps_no_connection_and_is_promised_to_none(id: str) -> None:
    async def going(visit: Visit) -> None:
        await visit.ready("handle 1")
        await visit.call(id, "get_weather")
        await visit.say(serverContent={"turnComplete": True})
        await visit.say(goAway={"timeLeft": "50s"})
        await visit.listen()

    async def main() -> None:
        async with service(going, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(5)
            assert len(there.visits) == 1
            owner.upstream.call_off([(1, events.FunctionCall(id, "get_weather", {}))])
            await asyncio.sleep(2)
            assert len(there.visits) == 2
            assert there.visits[1].texts == []

    run(main)


# -- refusals -------------------------------------------------------------------------------------------------


def refusing(code: int, reason: str) -> Callable[[Visit], Awaitable[None]]:
    async def script(visit: Visit) -> None:
        await visit.close(code, reason)

    return script


async def crash(visit: Visit) -> None:
    await visit.ready("handle 1")
    await asyncio.sleep(1)
    await visit.close(1011, INTERNAL)


def test_after_a_refused_handle_a_fresh_model_is_told_the_conversation_and_the_user_that_it_is_less() -> None:
    async def main() -> None:
        async with service(crash, refusing(1007, INVALID), listen) as there, Owner(there.url) as owner:
            owner.memory.turns += [("user", "I am Ann."), ("model", "Hello, Ann.")]
            await asyncio.sleep(3)
            assert [visit.handle for visit in there.visits] == [None, "handle 1", None]
            assert there.visits[2].texts == ["user: I am Ann.", "model: Hello, Ann."]
            assert there.visits[2].order == ["clientContent"]
            assert owner.news == ["reconnecting", "resumed", "memory-shortened"]
            assert owner.upstream.changes.afresh == 1
            assert owner.faults == []

    run(main)


def test_a_resumption_that_is_refused_because_the_old_socket_lingers_is_tried_again() -> None:
    async def main() -> None:
        lingering = refusing(1011, INTERNAL)
        async with service(crash, lingering, lingering, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(4)
            assert [visit.handle for visit in there.visits] == [None, *["handle 1"] * 3]
            assert owner.upstream.live
            gaps = [b.opened_at - a.opened_at for a, b in zip(there.visits[1:], there.visits[2:], strict=False)]
            assert all(gap >= life.FIRST_WAIT for gap in gaps)

    run(main)


@pytest.mark.parametrize(
    ("code", "reason", "fault"),
    [
        (1008, "API key not valid. Please pass a valid API key.", "key-refused"),
        (1011, "You exceeded your current quota", "quota"),
        (1008, "models/x is not found for API version v1beta", "model-not-found"),
    ],
)
@pytest.mark.parametrize("live", [False, True])
def test_a_lasting_refusal_ends_it_at_once_without_another_attempt(
    code: int, reason: str, fault: str, live: bool
) -> None:
    async def refuse(visit: Visit) -> None:
        if live:
            await visit.ready("handle 2")
        await visit.close(code, reason)

    async def main() -> None:
        async with service(crash, refuse) as there, Owner(there.url) as owner:
            await asyncio.sleep(20)
            assert [fault.code for fault in owner.faults] == [fault]
            versions = 2 if fault == "model-not-found" and not live else 1
            assert len(there.visits) == 1 + versions

    run(main)


@pytest.mark.parametrize("refusal", [1011, 503])
def test_a_first_connection_that_fails_for_a_moment_is_made_at_the_second_attempt(refusal: int) -> None:
    async def main() -> None:
        failing = refusing(1011, INTERNAL)
        async with service(*([failing] if refusal == 1011 else []), listen) as there:
            there.refuses += [refusal] * (refusal == 503)
            async with Owner(there.url, prior=PRIOR) as owner:
                await asyncio.sleep(1)
                assert there.visits[-1].texts == PRIOR_TOLD
                assert owner.upstream.live
                assert owner.news == []

    run(main)


def test_a_first_connection_that_fails_twice_is_raised_within_a_second() -> None:
    async def main() -> None:
        async with service(refusing(1011, INTERNAL)) as there:
            owner = Owner(there.url)
            began = owner.loop.time()
            with pytest.raises(ModelFault, match="model-unreachable"):
                await owner.upstream.connect()
            assert owner.loop.time() - began < 1.0
            await owner.upstream.close()
            await asyncio.sleep(20)
            assert (owner.faults, owner.news, len(there.visits)) == ([], [], 2)

    run(main)


def test_a_conversation_that_the_services_policy_forbids_is_ended_at_once() -> None:
    async def forbids(visit: Visit) -> None:
        await visit.ready("handle 1")
        await asyncio.sleep(10)
        await visit.close(1008, "The content was blocked by the Prohibited Use policy.")

    async def main() -> None:
        async with service(forbids, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(20)
            assert [fault.code for fault in owner.faults] == ["setup-refused"]
            assert len(there.visits) == 1

    run(main)


@pytest.mark.parametrize("code", [1007, 1008])
def test_a_live_connection_that_is_refused_by_chance_is_resumed(code: int) -> None:
    async def refuses(visit: Visit) -> None:
        await visit.ready("handle 1")
        await asyncio.sleep(10)
        await visit.close(code, "Operation is not implemented, or supported, or enabled.")

    async def main() -> None:
        async with service(refuses, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(20)
            assert [visit.handle for visit in there.visits] == [None, "handle 1"]
            assert owner.upstream.live
            assert owner.faults == []

    run(main)


def test_a_first_connection_that_is_refused_is_raised_and_not_told_besides() -> None:
    async def main() -> None:
        async with service(refusing(1008, "API key not valid.")) as there:
            owner = Owner(there.url)
            with pytest.raises(ModelFault, match="key-refused"):
                await owner.upstream.connect()
            await owner.upstream.close()
            assert owner.faults == []
            assert len(there.visits) == 1

    run(main)


def test_more_than_three_broken_frames_in_ten_seconds_lead_to_another_connection() -> None:
    async def babbling(visit: Visit) -> None:
        await visit.ready("handle 1")
        for _ in range(4):
            await visit.socket.send("{")
        await visit.listen()

    async def main() -> None:
        async with service(babbling, listen) as there, Owner(there.url) as owner:
            await asyncio.sleep(2)
            assert [visit.handle for visit in there.visits] == [None, "handle 1"]
            assert owner.upstream.live
            assert owner.faults == []

    run(main)


def test_a_mistake_of_ours_in_its_timer_is_its_last_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with service(listen) as there, Owner(there.url) as owner:
            monkeypatch.setattr("relay.gemini.life.Life.tick", None)
            await asyncio.sleep(life.ROTATE_SECONDS + 1)
            assert [fault.code for fault in owner.faults] == ["internal"]

    run(main)


# -- the end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.0, 0.05, 0.3, 1.0, 1.01, 1.3, 2.0])
def test_it_can_be_closed_at_any_time_and_twice(after: float) -> None:
    async def main() -> None:
        async with service(crash, ready_after(0.5)) as there:
            owner = Owner(there.url)
            connecting = asyncio.create_task(owner.upstream.connect())
            await asyncio.sleep(after)
            await owner.upstream.close()
            await owner.upstream.close()
            await asyncio.wait([connecting])
            connecting.exception()
            news = list(owner.news)
            await asyncio.sleep(60)
            assert (owner.news, owner.faults) == (news, [])
            assert all(visit.closed_at is not None for visit in there.visits)

    run(main)
