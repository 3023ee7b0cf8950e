"""What the local voice's ears understand, and what they do not take for a voice. None of it needs a clock."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from bench.report import Row, percentile
from relay.standin import vad, weights
from relay.standin.listening import End, Piece
from relay.standin.recognizer import Recognizer
from relay.standin.vad import Vad
from relay.standin.wits.wits import Wits
from tests import hearing, noises, timbres

SUNDAY: Final = datetime(2026, 11, 22, 15, 7)
LEVELS: Final = (-20.0, -30.0)  # dBFS, of those who interrupt
INTERRUPTIONS: Final = 20  # at each level


def rows() -> Iterator[Row]:
    """Each as soon as it is known."""
    folder = weights.directory()
    recognizer, new_vad = Recognizer(folder), vad.load(folder / "vad.onnx")
    yield _word_errors(recognizer)
    yield _understood(recognizer)
    yield _invented(recognizer, new_vad)
    mistaken = hearing.mistaken_echoes(new_vad)
    yield Row("ears: interrupted by echo at -45 dBFS", [len(mistaken)], "", 0, f"of {hearing.ECHOES} answers")
    delays = [delay for dbfs in LEVELS for delay in hearing.interruptions(new_vad, dbfs, INTERRUPTIONS)]
    note = f"{len(delays)} times, at -20 and -30 dBFS"
    yield Row("ears: interrupted after onset through that echo, p50", [1000 * percentile(delays, 0.5)], "ms", 250, note)
    yield Row("ears: interruptions never noticed", [delays.count(float("inf"))], "", 0, f"of {len(delays)}")


def _word_errors(recognizer: Recognizer) -> Row:
    wrong, total = hearing.word_errors(recognizer)
    return Row("ears: words of LibriVox that are wrong", [100 * wrong / total], "%", 3, f"{wrong} of {total}")


def _understood(recognizer: Recognizer) -> Row:
    """The worst of three voices."""
    right = {}
    for voice in timbres.VOICES:
        mind = Wits(lambda: SUNDAY)
        answers = [mind.answer(recognizer.text(timbres.speak(question, voice))) for question, _ in timbres.QUESTIONS]
        right[voice] = sum(
            wanted in said.text.lower() for said, (_, wanted) in zip(answers, timbres.QUESTIONS, strict=True)
        )
    note = ", ".join(f"{voice} {count} of {len(timbres.QUESTIONS)}" for voice, count in right.items())
    share = 100 * min(right.values()) / len(timbres.QUESTIONS)
    return Row("ears: questions understood, in the worst of three voices", [share], "%", 90, note, least=True)


def _invented(recognizer: Recognizer, new_vad: Callable[[], Vad]) -> Row:
    sounds = noises.twenty()
    wordy = [
        name
        for name, pcm in sounds.items()
        if any(recognizer.text(event.pcm) for event in hearing.heard(new_vad(), pcm) if isinstance(event, End | Piece))
    ]
    return Row(
        "ears: sounds without a voice that got words", [len(wordy)], "", 0, ", ".join([f"of {len(sounds)}", *wordy])
    )
