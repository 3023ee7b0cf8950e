"""Speech to load the relay with: the recorded sentence of the tests if it is there, else a synthetic voice."""

import math
import random
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from tests.sound import Sound, read_wav

RECORDED: Final = Path(__file__).parent.parent / "tests" / "sounds" / "weather.wav"
UPLINK_RATE: Final = 16000
DOWNLINK_RATE: Final = 24000
FRAME: Final = 0.020  # seconds
UPLINK_BIT_RATE: Final = 28000  # what the relay's answer asks browsers for

# First two formants of vowels, Hz
VOWELS: Final = ((730, 1090), (270, 2290), (300, 870), (530, 1840), (570, 840), (440, 1020))


def sentence(rate: int) -> Sound:
    """A few seconds of speech without long pauses, at the wanted rate, a whole number of 20 ms frames."""
    sound = read_wav(RECORDED) if RECORDED.exists() else synthetic(rate)
    sound = trimmed(sound.at(rate))
    frame = 2 * round(FRAME * rate)
    return Sound(sound.pcm[: len(sound.pcm) // frame * frame], rate)


def trimmed(sound: Sound, above: float = -40.0) -> Sound:
    """Without silence before and after, so that the first frame is loud."""
    loud = [i for i, level in enumerate(sound.levels()) if level > 32768 * 10 ** (above / 20)]
    return sound.part(loud[0] * 0.01, (loud[-1] + 1) * 0.01)


def synthetic(rate: int, seconds: float = 4.0) -> Sound:
    """Syllables of vowel-like sound with breath between them: a glottal pulse train through two resonators."""
    random_ = random.Random(1)
    samples = array("h")
    while len(samples) < seconds * rate:
        pitch, length = random_.uniform(95, 150), random_.uniform(0.12, 0.28)
        samples.extend(_syllable(rate, pitch, length, random_.choice(VOWELS)))
        samples.extend(random_.randrange(-40, 41) for _ in range(round(random_.uniform(0.02, 0.09) * rate)))
    return Sound(samples.tobytes(), rate)


def _syllable(rate: int, pitch: float, seconds: float, formants: tuple[int, int]) -> list[int]:
    count = round(seconds * rate)
    period = rate / pitch
    wave = [1.0 if i % period < 1 else 0.0 for i in range(count)]
    for hertz in formants:
        radius = math.exp(-math.pi * 90 / rate)
        a1, a2 = 2 * radius * math.cos(2 * math.pi * hertz / rate), -radius * radius
        before, last = 0.0, 0.0
        for i, pulse in enumerate(wave):
            before, last = last, pulse + a1 * last + a2 * before
            wave[i] = last
    peak = max(map(abs, wave)) or 1.0
    return [round(9000 * value / peak * math.sin(math.pi * i / count) ** 0.5) for i, value in enumerate(wave)]


def packets(sound: Sound, bit_rate: int = UPLINK_BIT_RATE) -> list[bytes]:
    """The sound as Opus, as a browser would send it after our answer: VOIP, in-band FEC, 20 ms."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.format, codec.layout, codec.sample_rate, codec.bit_rate = "s16", "mono", sound.rate, bit_rate
    codec.time_base = Fraction(1, sound.rate)
    codec.options = {"application": "voip", "fec": "1", "packet_loss": "5", "frame_duration": "20"}
    samples = round(FRAME * sound.rate)
    out = []
    for number, start in enumerate(range(0, len(sound.pcm) - 2 * samples + 1, 2 * samples)):
        frame = av.AudioFrame(format="s16", layout="mono", samples=samples)
        frame.planes[0].update(sound.pcm[start : start + 2 * samples])
        frame.sample_rate, frame.pts, frame.time_base = sound.rate, number * samples, Fraction(1, sound.rate)
        out += [bytes(packet) for packet in codec.encode(frame)]
    return out


def decoded(opus: list[bytes]) -> Sound:
    """Opus packets to 48 kHz mono."""
    codec = av.CodecContext.create("libopus", "r")
    assert isinstance(codec, av.AudioCodecContext)
    codec.format, codec.layout, codec.sample_rate = "s16", "mono", 48000
    pcm = b"".join(bytes(f.planes[0])[: 2 * f.samples] for p in opus for f in codec.decode(av.Packet(p)))
    return Sound(pcm, 48000)
