"""Opus as others make it: every setting of libopus's encoder by name, on the same libopus as the relay's."""

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from relay.audio import opus
from tests.sound import Sound

FRAME: Final = 0.020  # seconds
WIDEBAND: Final = 1103  # OPUS_BANDWIDTH_WIDEBAND
FULLBAND: Final = 1105


@dataclass(frozen=True, slots=True)
class Setting:
    """An encoder: application `voip`, `audio` or `restricted_lowdelay`, bit/s, effort 0–10."""

    application: str
    bit_rate: int
    complexity: int
    expected_loss: int | None = None  # %; None: no in-band FEC
    bandwidth: int = FULLBAND


@cache
def library() -> Any:
    """opuslib-next, bound to the libopus that the relay uses."""
    opus.version()
    return importlib.import_module("opuslib_next")


def encoder(setting: Setting, rate: int) -> Any:
    """An opuslib-next encoder of one channel."""
    made = library().Encoder(rate, 1, setting.application)
    made.bitrate, made.complexity, made.max_bandwidth = setting.bit_rate, setting.complexity, setting.bandwidth
    if setting.expected_loss is not None:
        made.inband_fec, made.packet_loss_perc = 1, setting.expected_loss
    return made


def encode(sound: Sound, setting: Setting) -> list[bytes]:
    """The sound in packets of 20 ms; the rest of a frame at its end is silent."""
    made, samples = encoder(setting, sound.rate), round(FRAME * sound.rate)
    frames = (sound.pcm[i : i + 2 * samples] for i in range(0, len(sound.pcm), 2 * samples))
    return [made.encode(frame.ljust(2 * samples, b"\0"), samples) for frame in frames]


def decode(packets: list[bytes], rate: int) -> Sound:
    """All packets through one decoder of one channel."""
    decoder = library().Decoder(rate, 1)
    return Sound(b"".join(decoder.decode(packet, round(FRAME * rate)) for packet in packets), rate)
