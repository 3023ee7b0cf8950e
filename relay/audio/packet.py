"""The numbers that the rooms of sound share, and what an Opus packet says about itself before it is decoded. Pure.

Durations are in ticks of Opus's RTP clock, 48 a millisecond whatever the rate (RFC 7587 §4.1).
"""

from typing import Final, NamedTuple

TICKS_PER_SECOND: Final = 48_000
DECODED_RATE: Final = 16_000  # Hz, PCM16 mono: what the model hears
ENCODED_RATE: Final = 24_000  # Hz, PCM16 mono: what it speaks
FRAME_TICKS: Final = 960  # 20 ms: one packet of ours
FRAME_BYTES: Final = 960  # PCM16 mono of one packet of ours at ENCODED_RATE
# RFC 6716 §3.2.1: the longest frame. A browser's packet holds one, and so does one of ours.
MAX_PAYLOAD_BYTES: Final = 1275
# RFC 6716 §3.2.5: the longest packet, 120 ms; no call asks libopus for more at once.
MAX_PACKET_TICKS: Final = 5760
# libopus conceals in multiples of 2.5 ms.
CONCEAL_STEP_TICKS: Final = 120

# RFC 6716 §3.1, table 2: ticks per frame by the lower bits of the configuration number.
_SILK_TICKS: Final = (480, 960, 1920, 2880)  # configurations 0–11
_HYBRID_TICKS: Final = (480, 960)  # 12–15
_CELT_TICKS: Final = (120, 240, 480, 960)  # 16–31
_FIRST_HYBRID: Final = 12
_FIRST_CELT: Final = 16


class Shape(NamedTuple):
    """What a packet's first bytes say about it."""

    ticks: int  # the duration of the packet
    frame_ticks: int  # the duration of one of its frames: how much of the past in-band FEC can restore
    fec: bool  # it carries a low-bitrate copy of the frame before it


def shape(payload: bytes) -> Shape | None:
    """Measure a packet; None for what is surely no Opus. What passes may still fail to decode."""
    if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
        return None
    configuration, code = payload[0] >> 3, payload[0] & 3
    if configuration >= _FIRST_CELT:
        frame_ticks = _CELT_TICKS[configuration & 3]
    elif configuration >= _FIRST_HYBRID:
        frame_ticks = _HYBRID_TICKS[configuration & 1]
    else:
        frame_ticks = _SILK_TICKS[configuration & 3]
    try:
        ticks = frame_ticks * (1 if code == 0 else 2 if code < 3 else payload[1] & 0x3F)
        if not 0 < ticks <= MAX_PACKET_TICKS:
            return None
        fec = configuration < _FIRST_CELT and _has_fec(payload, code, frame_ticks)
    except IndexError:
        return None
    return Shape(ticks, frame_ticks, fec)


def _has_fec(payload: bytes, code: int, frame_ticks: int) -> bool:
    """RFC 6716 §4.2.3 and §4.2.4: a SILK frame begins with a voice flag per 20 ms, then the FEC flag, per channel."""
    start, size = _first_frame(payload, code)
    if size <= 0:
        return False
    flags, voices = payload[start], max(1, frame_ticks // FRAME_TICKS)
    second_channel = payload[0] & 4 and flags >> (6 - 2 * voices) & 1
    return bool(flags >> (7 - voices) & 1 or second_channel)


def _first_frame(payload: bytes, code: int) -> tuple[int, int]:
    """Where the first frame begins and how long it is (RFC 6716 §3.2.2–5)."""
    if code == 0:
        return 1, len(payload) - 1
    if code == 1:
        return 1, (len(payload) - 1) // 2
    if code == 2:
        return _length(payload, 1)
    count, at, padding = payload[1] & 0x3F, 2, 0
    if payload[1] & 0x40:
        while payload[at] == 255:
            padding += 254
            at += 1
        padding += payload[at]
        at += 1
    if not payload[1] & 0x80:
        return at, (len(payload) - at - padding) // count
    first = len(payload) - at - padding
    for i in range(count - 1):
        at, size = _length(payload, at)
        first = size if i == 0 else first
    return at, first


def _length(payload: bytes, at: int) -> tuple[int, int]:
    """The end of the length field at `at`, and the length (RFC 6716 §3.2.1)."""
    if payload[at] < 252:
        return at + 1, payload[at]
    return at + 2, payload[at] + 4 * payload[at + 1]
