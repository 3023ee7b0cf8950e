"""The ears of the local voice, with the weights that everybody has: what they hear, and what they do not."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from relay.standin import vad, weights
from relay.standin.desk import Desk
from relay.standin.listening import End, Onset, Partial, Piece
from relay.standin.recognizer import MOST_S, Recognizer
from relay.standin.vad import Vad
from tests import hearing, noises

MAX_WORD_ERRORS: Final = 0.03
MAX_CAPTION_S: Final = 1.0
MAX_CAPTION_CPU_S: Final = 0.35
MAX_INTERRUPTION_S: Final = 0.25
MAX_RSS_MB: Final = 500


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(weights.directory())


@pytest.fixture(scope="module")
def new_vad() -> Callable[[], Vad]:
    return vad.load(weights.directory() / "vad.onnx")


def test_three_words_of_a_hundred_are_wrong_at_most(recognizer: Recognizer) -> None:
    wrong, total = hearing.word_errors(recognizer)
    assert total > 60
    assert wrong / total <= MAX_WORD_ERRORS


def test_where_nobody_speaks_nothing_is_heard(recognizer: Recognizer, new_vad: Callable[[], Vad]) -> None:
    sounds = noises.twenty()
    assert len(sounds) == 20
    finals = {
        name: [recognizer.text(event.pcm) for event in hearing.heard(new_vad(), pcm) if isinstance(event, End | Piece)]
        for name, pcm in sounds.items()
    }
    assert not {name: texts for name, texts in finals.items() if any(texts)}


@pytest.mark.parametrize("name", ["silence", "keyboard -28 dBFS", "music -28 dBFS", "white -36 dBFS", "hum 50 Hz"])
def test_a_recording_in_which_nobody_speaks_has_no_words(name: str, recognizer: Recognizer) -> None:
    assert recognizer.text(noises.twenty()[name]) == ""


def test_the_first_caption_comes_within_a_second_of_the_onset(
    recognizer: Recognizer, new_vad: Callable[[], Vad]
) -> None:
    for _, pcm in hearing.librivox():
        events = hearing.heard(new_vad(), noises.silence(1.0) + pcm)
        onset = next(event for event in events if isinstance(event, Onset))
        partial = next(event for event in events if isinstance(event, Partial))
        began = time.process_time()
        caption = recognizer.text(partial.pcm)
        cpu = time.process_time() - began
        assert caption
        assert cpu <= MAX_CAPTION_CPU_S
        assert partial.at - onset.at + MAX_CAPTION_CPU_S <= MAX_CAPTION_S


def test_a_sentence_is_one_turn_and_its_words_are_all_there(recognizer: Recognizer, new_vad: Callable[[], Vad]) -> None:
    text, pcm = next(iter(hearing.librivox()))
    events = hearing.heard(new_vad(), noises.silence(1.0) + pcm + noises.silence(1.0))
    parts = [event.pcm for event in events if isinstance(event, End | Piece)]
    assert sum(isinstance(event, Onset) for event in events) == sum(isinstance(event, End) for event in events) == 1
    got = hearing.words(" ".join(map(recognizer.text, parts)))
    assert hearing.errors(hearing.words(text), got) <= 1


def test_none_of_forty_echoes_of_our_own_interrupts_us(new_vad: Callable[[], Vad]) -> None:
    assert hearing.mistaken_echoes(new_vad) == []


def test_we_are_interrupted_within_a_quarter_of_a_second(new_vad: Callable[[], Vad]) -> None:
    delays = [delay for dbfs in (-20.0, -26.0) for delay in hearing.interruptions(new_vad, dbfs, 5)]
    assert max(delays) < float("inf"), "everybody is noticed"
    assert statistics.median(delays) <= MAX_INTERRUPTION_S


def test_four_at_once_are_written_down_as_one_alone_is(recognizer: Recognizer) -> None:
    spoken = [pcm for _, pcm in hearing.librivox()][1:5]
    alone = [recognizer.text(pcm) for pcm in spoken]
    desk = Desk(recognizer.text)
    try:
        together = [desk.final(n, pcm) for n, pcm in enumerate(spoken)]
        assert [future.result(60.0) for future in together] == alone
    finally:
        desk.close()


@pytest.mark.parametrize(
    "pcm",
    [b"", b"\0", b"\xff" * 801, bytes(range(256)) * 300, b"\xff\x7f\x00\x80" * 9000],
    ids=["nothing", "half a sample", "an odd length", "bytes that are no sound", "as loud as can be"],
)
def test_whatever_is_no_speech_is_survived(pcm: bytes, recognizer: Recognizer) -> None:
    assert len(recognizer.text(pcm)) < 200


def test_more_than_can_be_heard_at_once_is_cut(recognizer: Recognizer) -> None:
    _, pcm = next(iter(hearing.librivox()))
    assert recognizer.text(bytes(int(MOST_S * 32_000)) + pcm) == ""


def test_ears_and_voice_take_less_than_half_a_gigabyte() -> None:
    code = (
        "import re, threading\n"
        "from relay.standin import models\n"
        "from tests import hearing\n"
        "them = models.load()\n"
        "pcm = b''.join(pcm for _, pcm in hearing.librivox())[: 10 * 32_000]\n"
        "threads = [threading.Thread(target=them.recognizer.text, args=(pcm,)) for _ in range(2)]\n"
        "for thread in threads: thread.start()\n"
        "list(them.voice.sentences('Here is what I said. It is a little longer than it must be, is it not?'))\n"
        "for thread in threads: thread.join()\n"
        "them.voice.close()\n"
        # getrusage would tell what the process that started it has held, too
        "print(int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1]) >> 10)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= MAX_RSS_MB
