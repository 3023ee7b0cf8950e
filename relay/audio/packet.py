"""The numbers that the rooms of sound share, and what an Opus packet says about itself before it is decoded. Pure.

Durations are in ticks of Opus's RTP clock, 48 a millisecond whatever the rate (RFC 7587 §4.1).
"""

from typing import Final

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


def _frame_ticks(toc: int) -> int:
    """How long one frame of a packet is that begins with `toc`."""
    configuration = toc >> 3
    if configuration >= _FIRST_CELT:
        return _CELT_TICKS[configuration & 3]
    if configuration >= _FIRST_HYBRID:
        return _HYBRID_TICKS[configuration & 1]
    return _SILK_TICKS[configuration & 3]


# Ticks by a packet's first byte if it says that there is one frame, as a browser's does; else 0.
ONE_FRAME_TICKS: Final = tuple(0 if toc & 3 else _frame_ticks(toc) for toc in range(256))


def duration(payload: bytes) -> int:
    """A packet's length in ticks; 0 for what is surely no Opus. What passes may still fail to decode."""
    if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
        return 0
    toc = payload[0]
    if not toc & 3:
        return ONE_FRAME_TICKS[toc]
    try:
        ticks = _frame_ticks(toc) * (2 if toc & 3 < 3 else payload[1] & 0x3F)
        if not 0 < ticks <= MAX_PACKET_TICKS:
            return 0
        start, size = _first_frame(payload, toc & 3)
    except IndexError:
        return 0
    return ticks if 0 <= size <= len(payload) - start else 0


def fec_ticks(payload: bytes) -> int:
    """How much before a packet its in-band FEC can restore: a frame or nothing. `payload` has a `duration`."""
    toc = payload[0]
    if toc >> 3 >= _FIRST_CELT:
        return 0
    frame_ticks = _frame_ticks(toc)
    return frame_ticks if _has_fec(payload, toc & 3, frame_ticks) else 0


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
