"""Is this a voice: Silero's answer to every 32 ms, one model for all calls.

It hears the kind of sound and not its level: a whisper, and our own echo, are voices to it. `listening.py` asks it only
about what is loud enough.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

RATE: Final = 16_000  # Hz
SAMPLES: Final = 512  # of one answer
CONTEXT: Final = 64  # samples of the window before, which the model wants to see again
MEMORY: Final = (2, 1, 128)  # what it remembers of a call


def session(path: Path) -> onnxruntime.InferenceSession:
    """A model in one of the caller's threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # what the longest sound ever took is given back
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Vad:
    """The detector of one call: it remembers what it has heard."""

    def __init__(self, model: onnxruntime.InferenceSession) -> None:
        self._model = model
        self._rate = np.array(RATE, dtype=np.int64)
        self.reset()

    def reset(self) -> None:
        """Forgets the call."""
        self._memory = np.zeros(MEMORY, dtype=np.float32)
        self._window = np.zeros((1, CONTEXT + SAMPLES), dtype=np.float32)

    def probability(self, pcm: bytes) -> float:
        """How likely the next `SAMPLES` of 16-bit little-endian sound are a voice, 0 to 1."""
        self._window[0, :CONTEXT] = self._window[0, -CONTEXT:]
        self._window[0, CONTEXT:] = np.frombuffer(pcm, dtype="<i2", count=SAMPLES)
        self._window[0, CONTEXT:] /= 32768
        said: list[Any] = self._model.run(None, {"input": self._window, "state": self._memory, "sr": self._rate})
        self._memory = said[1]
        return float(said[0][0, 0])


def load(path: Path) -> Callable[[], Vad]:
    """What makes a `Vad` for each call."""
    model = session(path)
    return lambda: Vad(model)
