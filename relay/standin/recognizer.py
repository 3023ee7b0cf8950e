"""Sound → words: Moonshine in one of the caller's threads, one model for all calls."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from relay.standin.moonshine import HEADS, LAYERS, WIDTH
from relay.standin.vad import RATE, session

BEGIN: Final = 1
END: Final = 2
LEAST_S: Final = 0.2  # of sound; the model cannot hear less
MOST_S: Final = 12.0  # of sound at once, for its memory grows with the square; the rest is for whoever cuts
WORDS_PIECES_PER_S: Final = 6.5  # pieces of words; more than that nobody says, and the model has lost itself


class Recognizer:
    """Safe to be asked by several threads at once."""

    def __init__(self, folder: Path) -> None:
        self._ears = session(folder / "encoder.onnx")
        self._words = session(folder / "decoder.onnx")
        self._pieces = _vocabulary((folder / "tokenizer.bin").read_bytes())

    def text(self, pcm: bytes) -> str:
        """The words of 16 kHz 16-bit little-endian sound, as one would write them; "" where there are none."""
        pcm = pcm[: min(len(pcm) & ~1, int(MOST_S * RATE) * 2)]
        sound = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768
        if len(sound) < LEAST_S * RATE:
            return ""
        heard = self._ears.run(None, {"input_values": sound[np.newaxis]})
        return self._written(heard, int(len(sound) / RATE * WORDS_PIECES_PER_S) + 6)

    def _written(self, heard: list[Any], most: int) -> str:
        names = [
            f"{layer}.{side}.{part}"
            for side in ("decoder", "encoder")
            for layer in range(LAYERS)
            for part in ("key", "value")
        ]
        past = [np.zeros((1, HEADS, 0, WIDTH), dtype=np.float32)] * (2 * LAYERS)
        said = [BEGIN]
        while len(said) <= most:
            kept = {f"past_key_values.{name}": value for name, value in zip(names, [*past, *heard], strict=True)}
            step = {"input_ids": np.array([[said[-1]]]), "position": np.array([len(said) - 1])}
            token, *past = self._words.run(None, step | kept)
            said.append(int(token[0, 0]))
            if said[-1] == END:
                break
        return self._text(said)

    def _text(self, said: list[int]) -> str:
        data = b"".join(self._pieces[token] for token in said if 2 < token < len(self._pieces))
        return data.decode(errors="ignore").replace("▁", " ").strip()


def _vocabulary(data: bytes) -> list[bytes]:
    """Moonshine's `tokenizer.bin`: each piece with its length before it, two bytes where it is over 127."""
    pieces = []
    at = 0
    while at < len(data):
        size = data[at]
        at += 1
        if size >= 128:
            size += data[at] * 128 - 128
            at += 1
        pieces.append(data[at : at + size])
        at += size
    return pieces
