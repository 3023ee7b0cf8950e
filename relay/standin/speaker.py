"""The voice: text → 24 kHz speech, sentence by sentence, from weights that lie on this machine.

The package is `hibari-tts`; its own voice lies in its wheel. It would fetch other voices from a model hub, so it is
given the file by name and never asked for one. One thread speaks for all calls: a sentence takes it some 30 ms.
"""

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from relay.standin import aloud

log = logging.getLogger(__name__)

RATE: Final = 24_000  # Hz
FILE: Final = "hibari.onnx"
SHA256: Final = "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"  # of the package's own voice
GAIN: Final = 2.2  # the voice's peaks lie near -10 dBFS; a microphone's and the real service's near -4
KNEE: Final = 0.7  # of full scale: what is louder is bent rather than cut, so that nothing clips
QUIET: Final = 0.004  # of full scale: below it a sample is silence before or after the words
BEFORE_S: Final = 0.02  # of silence kept before the first word; the voice itself would wait for 0.3 s
AFTER_S: Final = 0.2  # kept after the last, which parts sentences
FADE_S: Final = 0.005
MAX_WAITING: Final = 200  # sentences ordered and not yet begun, in all calls; more are refused
MAX_KEPT: Final = 6 << 20  # bytes of sound kept of what is said again and again, two minutes


class NoVoice(Exception):
    """There is no voice; the text says in one sentence what is missing and how to get it."""


class Busy(Exception):
    """More waits to be said than will ever be, or nothing is said any more."""


class Speaker:
    """The same sentence always gives the same bytes, whoever asked and whatever was said before."""

    def __init__(self, weights: Path | None = None, seed: int = 0) -> None:
        """Loads the voice, which takes half a second. `weights` may hold another `hibari.onnx`. Raises `NoVoice`."""
        self._voice = _load(weights)
        self._seed = seed
        self._lock = threading.Lock()  # one sentence at a time: the voice keeps notes while it reads
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._closed = False
        self._waiting = threading.Semaphore(MAX_WAITING)
        self._thread = ThreadPoolExecutor(1, "voice")
        self._thread.submit(self.say, "Hello.").result()  # the first sentence loads the dictionaries, and the thread

    def sentences(self, text: str) -> Iterator[bytes]:
        """PCM16 at 24 kHz for each sentence, each made when it is asked for."""
        for sentence in aloud.sentences(text):
            yield self.say(sentence)

    def say(self, sentence: str) -> bytes:
        """One sentence (cut to what one breath says) as PCM16 at 24 kHz; b"" when nothing of it can be said.

        Computes in the calling thread, some 12 ms for each second of sound; any thread may call.
        """
        sentence = next(aloud.sentences(sentence), "")
        if not sentence:
            return b""
        with self._lock:
            if sentence in self._kept:
                self._kept.move_to_end(sentence)
                return self._kept[sentence]
            try:
                pcm = _pcm(self._voice(sentence, seed=self._seed))
            except Exception:  # what it cannot read it does not say; the words are still shown
                log.warning("The voice cannot read a sentence of %d letters.", len(sentence), exc_info=False)
                pcm = b""
            self._keep(sentence, pcm)
            return pcm

    def order(self, sentence: str) -> "Future[bytes]":
        """`say` in the voice's own thread, in the order of asking. `cancel()` it when it is not wanted any more.

        Ends in `Busy` when too much waits already, or after `close`.
        """
        if self._closed or not self._waiting.acquire(blocking=False):
            refused: Future[bytes] = Future()
            refused.set_exception(Busy("Nothing more can be said now."))
            return refused
        ordered = self._thread.submit(self.say, sentence)
        ordered.add_done_callback(lambda _: self._waiting.release())
        return ordered

    def close(self) -> None:
        """Nothing more is said; what is being said is finished. May be called twice."""
        self._closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _keep(self, sentence: str, pcm: bytes) -> None:
        self._kept[sentence] = pcm
        self._size += len(pcm)
        while self._size > MAX_KEPT:
            self._size -= len(self._kept.popitem(last=False)[1])


def _load(weights: Path | None) -> Any:
    found = find_spec("hibari")
    if found is None or not found.submodule_search_locations:
        raise NoVoice("The local voice needs the package hibari-tts: pip install '.[local]'")
    own = weights / FILE if weights is not None else None
    packed = Path(next(iter(found.submodule_search_locations)), "assets", FILE)
    path = own if own is not None and own.is_file() else packed
    try:
        if path == packed and hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
            raise NoVoice(f"{path} is not the voice that was tested: pip install --force-reinstall hibari-tts==0.2.1")
        return import_module("hibari").Hibari(model=str(path))
    except NoVoice:
        raise
    except Exception as error:  # a missing wheel of onnxruntime, a file that is no voice
        raise NoVoice(f"The local voice does not load ({type(error).__name__}): pip install '.[local]'") from error


def _pcm(sound: Any) -> bytes:
    """Floats as PCM16: louder, without the silence around the words, faded in and out, never clipped."""
    import numpy as np

    loud = np.flatnonzero(np.abs(sound) > QUIET)
    if not len(loud):
        return b""
    start = max(0, int(loud[0]) - int(BEFORE_S * RATE))
    sound = sound[start : int(loud[-1]) + int(AFTER_S * RATE)] * GAIN
    fade = min(int(FADE_S * RATE), len(sound) // 2)
    ramp = np.linspace(0.0, 1.0, fade, dtype=sound.dtype)
    sound[:fade] *= ramp
    sound[len(sound) - fade :] *= ramp[::-1]
    over = np.flatnonzero(np.abs(sound) > KNEE)
    bent = KNEE + (1 - KNEE) * np.tanh((np.abs(sound[over]) - KNEE) / (1 - KNEE))
    sound[over] = np.copysign(bent, sound[over])
    return bytes((sound * 32766.0).astype("<i2").tobytes())
