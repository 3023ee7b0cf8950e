"""The voice: the same words in the same bytes, pleasantly loud, at once, from this machine alone."""

import hashlib
import importlib.util
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.standin import aloud, speaker, voice, weights
from relay.standin.ears import levels
from relay.standin.recognizer import Recognizer
from relay.standin.speaker import Busy, NoVoice, Speaker
from relay.standin.wits import line, skills, wits

WELCOME: Final = "The capital of France is Paris."
SENTENCES: Final = [
    *(*wits.GREETING, *skills.HELP, *skills.MYSELF, *skills.NO_WORLD, *sum(skills.JOKES[:3], ())),
    *("17 times 6 is 102.", "It is 3:07 PM.", "Today is Sunday, November 22, 2026.", "Nice to meet you, Anna."),
]
CPU_MS: Final = 120  # for one sentence, p50, on the slowest machine that is to be served
WORD_ERRORS: Final = 0.05  # what its own ears may not understand of it


@pytest.fixture(scope="module")
def mouth() -> Iterator[Speaker]:
    mouth = Speaker()
    mouth.order("Hello.").result(10)  # starts its thread
    yield mouth
    mouth.close()


def loudness(pcm: bytes) -> float:
    """dBFS over all of it."""
    samples = np.frombuffer(pcm, "<i2") / 32768
    return float(10 * np.log10(np.mean(samples**2)))


def test_it_speaks_pcm_as_fast_as_one_speaks(mouth: Speaker) -> None:
    pcm = mouth.say(WELCOME)
    assert len(pcm) % 2 == 0
    assert 1.2 < voice.seconds(pcm, speaker.RATE) < 3


def test_it_is_as_loud_as_a_microphone_and_never_clips(mouth: Speaker) -> None:
    for sentence in SENTENCES:
        pcm = mouth.say(sentence)
        assert -27 < loudness(pcm) < -17, sentence
        assert max(abs(np.frombuffer(pcm, "<i2").astype(int))) < 32_767, sentence


def test_it_begins_at_once_and_ends_in_a_short_silence(mouth: Speaker) -> None:
    for sentence in SENTENCES:
        pcm = mouth.say(sentence)
        loud = [n for n, db in enumerate(levels(pcm, speaker.RATE)) if db > -50]
        frames = len(levels(pcm, speaker.RATE))
        assert loud[0] * 0.02 <= 0.06, sentence
        assert 0.1 <= (frames - 1 - loud[-1]) * 0.02 <= 0.4, sentence
        assert pcm[:2] == pcm[-2:] == b"\0\0"


def test_the_same_sentence_is_the_same_bytes_in_every_voice_and_after_anything(mouth: Speaker) -> None:
    other = Speaker()
    other.say("Something else.")
    assert other.say(WELCOME) == mouth.say(WELCOME)
    assert other.say(WELCOME) == mouth.say(f" {WELCOME} ")
    assert Speaker(seed=1).say(WELCOME) != mouth.say(WELCOME)


def test_what_is_forgotten_is_said_again_alike(mouth: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    before = mouth.say("Forget me.")
    monkeypatch.setattr(speaker, "MAX_KEPT", 0)
    mouth.say("Another.")
    assert mouth.say("Forget me.") == before


def test_a_text_comes_sentence_by_sentence_each_when_it_is_asked_for(mouth: Speaker) -> None:
    text = "One thing. And another! Is that all?"
    coming = mouth.sentences(text)
    assert next(coming) == mouth.say("One thing.")
    assert [*coming] == [mouth.say("And another!"), mouth.say("Is that all?")]


def test_it_is_understood_by_its_own_ears(mouth: Speaker) -> None:
    ears = Recognizer(weights.directory())
    wrong = total = 0
    for sentence in SENTENCES[::2]:
        heard = ears.text(voice.resample(mouth.say(sentence), speaker.RATE, 16_000))
        words = spelled(sentence)
        wrong += distance(words, spelled(heard))
        total += len(words)
    assert wrong <= WORD_ERRORS * total


def spelled(text: str) -> list[str]:
    """Words as they are compared: "2026" and "3:07" may be written in letters, "all right" in one."""
    return "".join(c if c.isalnum() else " " for c in " ".join(line.read(text).words)).split()


def distance(one: list[str], other: list[str]) -> int:
    row = list(range(len(other) + 1))
    for n, word in enumerate(one, 1):
        before, row[0] = row[0], n
        for m, heard in enumerate(other, 1):
            before, row[m] = row[m], min(before + (word != heard), row[m] + 1, row[m - 1] + 1)
    return row[-1]


def test_a_sentence_takes_little_work(mouth: Speaker) -> None:
    def work(n: int) -> float:
        start = time.thread_time()
        mouth.say(f"The capital of country number {n} is unknown.")
        return 1000 * (time.thread_time() - start)

    assert median(work(n) for n in range(10)) < CPU_MS


# --- in a thread of its own --------------------------------------------------------------------------------------


def test_what_is_ordered_comes_in_the_order_of_asking(mouth: Speaker) -> None:
    done: list[int] = []
    ordered = [mouth.order(f"Number {n}.") for n in range(5)]
    for n, one in enumerate(ordered):
        one.add_done_callback(lambda _, n=n: done.append(n))  # type: ignore[misc]
    assert [one.result(10) for one in ordered] == [mouth.say(f"Number {n}.") for n in range(5)]
    assert done == sorted(done)


def test_what_is_not_wanted_any_more_is_not_said(mouth: Speaker) -> None:
    first = [mouth.order(f"This is long sentence number {n}, and it goes on for a while.") for n in range(3)]
    last = mouth.order("Never said.")
    assert last.cancel()
    assert all(one.result(10) for one in first)
    with pytest.raises(CancelledError):
        last.result(10)


def test_more_than_will_ever_be_said_is_refused_and_later_orders_are_taken(mouth: Speaker) -> None:
    ordered = [mouth.order(f"Sentence {n}.") for n in range(speaker.MAX_WAITING + 3)]
    assert isinstance(ordered[-1].exception(0), Busy)
    for one in ordered:
        one.cancel()
    assert mouth.order("Hello.").result(10) == mouth.say("Hello.")


def test_after_its_end_nothing_is_said_any_more() -> None:
    mouth = Speaker()
    last = mouth.order("Last words.")
    mouth.close()
    mouth.close()
    assert last.cancelled() or last.result(0)
    assert isinstance(mouth.order("Too late.").exception(0), Busy)


# --- what bad input gets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  ", "你好", "!!! ???", "🎉", "\0\n", "—"])
def test_what_has_no_sound_is_silence(mouth: Speaker, text: str) -> None:
    assert mouth.say(text) == b""
    assert list(mouth.sentences(text)) == []


@pytest.mark.parametrize("text", ["a" * 100_000, "word " * 20_000, "9" * 100_000, "$1.50! " * 15_000])
def test_a_hundred_kilobytes_are_said_as_far_as_anybody_listens(mouth: Speaker, text: str) -> None:
    spoken = sum(voice.seconds(pcm, speaker.RATE) for pcm in mouth.sentences(text))
    assert 1 < spoken < 300


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="latin-1"), max_size=40) | st.text("0123456789 .,:/-$%°+*=()'", max_size=30))
def test_any_sentence_is_said_or_is_silent(mouth: Speaker, text: str) -> None:
    assert len(mouth.say(text)) <= 60 * 2 * speaker.RATE


def test_a_sentence_that_breaks_the_voice_is_silent(mouth: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise IndexError("no such phoneme")

    monkeypatch.setattr("hibari.Hibari.__call__", broken)
    assert mouth.say("This one was never said before.") == b""


# --- where it comes from -----------------------------------------------------------------------------------------


def test_it_never_asks_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("the voice asked for a socket")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr("urllib.request.urlopen", forbidden)
    monkeypatch.setattr("hibari.voices.download", forbidden)
    assert Speaker().say("All of it is here.")


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker, "find_spec", lambda name: None)
    with pytest.raises(NoVoice, match=r"needs the package hibari-tts: pip install '\.\[local\]'"):
        Speaker()


def test_a_voice_that_is_not_the_tested_one_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speaker, "SHA256", hashlib.sha256(b"other").hexdigest())
    with pytest.raises(NoVoice, match="not the voice that was tested"):
        Speaker()


def test_another_voice_may_lie_in_a_folder_of_ones_own(mouth: Speaker, tmp_path: Path) -> None:
    found = importlib.util.find_spec("hibari")
    assert found is not None
    assert found.origin is not None
    shutil.copy(Path(found.origin).parent / "assets" / speaker.FILE, tmp_path)
    assert Speaker(tmp_path).say(WELCOME) == mouth.say(WELCOME)
    (tmp_path / speaker.FILE).write_bytes(b"no voice at all")
    with pytest.raises(NoVoice, match="does not load"):
        Speaker(tmp_path)


def test_all_that_is_said_aloud_comes_from_one_place(mouth: Speaker) -> None:
    text = "Dr. Smith counts 3.5 apples. He eats 2!"
    assert [*mouth.sentences(text)] == [mouth.say(sentence) for sentence in aloud.sentences(text)]
