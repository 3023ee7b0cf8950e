"""libopus as we use it: our rates, our silence, loss restored or concealed, and no bytes that end a call."""

import ctypes
import math
from array import array
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.audio import opus
from relay.audio.opus import SILENCE, Decoder, Encoder, OpusError
from relay.audio.packet import (
    CONCEAL_STEP_TICKS,
    DECODED_RATE,
    ENCODED_RATE,
    FRAME_BYTES,
    FRAME_TICKS,
    MAX_PACKET_TICKS,
    MAX_PAYLOAD_BYTES,
    duration,
    fec_ticks,
)
from tests.sound import Sound, compare, read_wav, tone

WEATHER: Final = read_wav(Path(__file__).parent / "sounds" / "weather.wav")
DECODED_FRAME: Final = DECODED_RATE // 50 * 2  # bytes of 20 ms
SET_INBAND_FEC, SET_PACKET_LOSS_PERC, SET_MAX_BANDWIDTH = 4012, 4014, 4004
VOIP, WIDEBAND = 2048, 1103


def frames(sound: Sound, size: int) -> list[bytes]:
    return [sound.pcm[i : i + size] for i in range(0, len(sound.pcm) - size + 1, size)]


def encoded(sound: Sound) -> list[bytes]:
    encoder = Encoder()
    return [encoder.encode(frame) for frame in frames(sound.at(ENCODED_RATE), FRAME_BYTES)]


def browser_packets(sound: Sound, *, fec: bool = True, frame_seconds: float = 0.020) -> list[bytes]:
    """What a browser would send: VOIP, 16 kHz, 24 kb/s, in-band FEC for 20 % loss."""
    lib = ctypes.CDLL(next(opus._places()))
    state = ctypes.create_string_buffer(lib.opus_encoder_get_size(1))
    address = ctypes.c_void_p(ctypes.addressof(state))
    assert lib.opus_encoder_init(address, DECODED_RATE, 1, VOIP) == 0
    for request, value in ((4002, 24_000), (SET_INBAND_FEC, int(fec)), (SET_PACKET_LOSS_PERC, 20)):
        assert lib.opus_encoder_ctl(address, request, ctypes.c_int32(value)) == 0
    assert lib.opus_encoder_ctl(address, SET_MAX_BANDWIDTH, ctypes.c_int32(WIDEBAND)) == 0
    room = ctypes.create_string_buffer(MAX_PAYLOAD_BYTES)
    samples = round(DECODED_RATE * frame_seconds)
    packets = []
    for frame in frames(sound, 2 * samples):
        size = lib.opus_encode(address, frame, samples, room, len(room))
        assert size > 0
        packets.append(room.raw[:size])
    return packets


def has_fec(packet: bytes) -> bool:
    return fec_ticks(packet) > 0


def distance(pcm: bytes, original: bytes) -> float:
    """Energy of the difference, relative to the original's."""
    pairs = list(zip(array("h", pcm), array("h", original), strict=True))
    return sum((a - b) ** 2 for a, b in pairs) / sum(b * b for _, b in pairs)


def test_a_tone_keeps_its_level_and_its_pitch_from_24_to_16_khz() -> None:
    sound = tone(440.0, 1.0, ENCODED_RATE, level=-15.0)
    decoder = Decoder()
    heard = Sound(b"".join(decoder.decode(packet) for packet in encoded(sound)), DECODED_RATE)
    assert heard.seconds == 1.0
    middle = heard.part(0.2, 0.8)
    assert middle.level() == pytest.approx(-15.0, abs=0.3)
    crossings = sum(a < 0 <= b for a, b in zip(middle.samples, middle.samples[1:], strict=False))
    assert crossings / middle.seconds == pytest.approx(440.0, abs=4.0)


def test_speech_is_the_same_sentence_after_coding() -> None:
    decoder = Decoder()
    heard = Sound(b"".join(decoder.decode(packet) for packet in encoded(WEATHER)), DECODED_RATE)
    likeness = compare(WEATHER.part(0.8, 2.8), heard)
    assert likeness.levels > 0.98
    assert likeness.waveform > 0.95
    assert heard.level() == pytest.approx(WEATHER.level(), abs=0.5)


def test_our_packets_hold_20_ms_and_at_most_the_bit_rate() -> None:
    packets = encoded(WEATHER)
    assert {(duration(packet), fec_ticks(packet)) for packet in packets} == {(FRAME_TICKS, 0)}
    assert sum(map(len, packets)) * 8 / WEATHER.seconds < opus.BITRATE * 1.05


def test_zeros_are_the_cached_silence_and_that_is_what_libopus_makes_of_them() -> None:
    encoder = Encoder()
    assert encoder.encode(bytes(FRAME_BYTES)) is SILENCE
    encoder._quiet = False  # past the short cut, libopus itself
    assert encoder.encode(bytes(FRAME_BYTES)) == SILENCE
    assert not any(Decoder().decode(SILENCE))


def test_the_first_zeros_after_a_sound_push_out_what_the_encoder_still_holds() -> None:
    encoder, decoder = Encoder(), Decoder()
    for frame in frames(tone(440.0, 0.1, ENCODED_RATE), FRAME_BYTES):
        decoder.decode(encoder.encode(frame))
    tail = encoder.encode(bytes(FRAME_BYTES))
    assert tail != SILENCE
    assert Sound(decoder.decode(tail)[:128], DECODED_RATE).level() > -30.0, "the last 4 ms of the tone"
    assert encoder.encode(bytes(FRAME_BYTES)) is SILENCE
    assert Sound(decoder.decode(SILENCE), DECODED_RATE).level() < -50.0


def test_a_frame_of_another_size_is_our_own_mistake() -> None:
    for size in (0, FRAME_BYTES - 2, FRAME_BYTES + 2):
        with pytest.raises(ValueError, match="960 bytes"):
            Encoder().encode(bytes(size))


def test_a_lost_packet_is_restored_from_the_next_ones_fec_much_better_than_concealed() -> None:
    packets = browser_packets(WEATHER)
    assert sum(has_fec(packet) for packet in packets) > len(packets) / 3
    straight = Decoder()
    original = [straight.decode(packet) for packet in packets]
    wins = tried = 0
    for lost in range(55, 120, 4):
        if not has_fec(packets[lost + 1]) or Sound(original[lost], DECODED_RATE).level() < -35.0:
            continue
        restoring, concealing = Decoder(), Decoder()
        for packet in packets[:lost]:
            restoring.decode(packet)
            concealing.decode(packet)
        restored = restoring.recover(packets[lost + 1], FRAME_TICKS)
        concealed = concealing.conceal(FRAME_TICKS)
        assert len(restored) == len(concealed) == DECODED_FRAME
        tried += 1
        wins += distance(restored, original[lost]) < 0.5 * distance(concealed, original[lost])
    assert tried >= 8
    assert wins >= 0.8 * tried


def test_recovery_from_a_packet_without_fec_conceals() -> None:
    packets = browser_packets(WEATHER, fec=False)
    assert not any(has_fec(packet) for packet in packets)
    restoring, concealing = Decoder(), Decoder()
    for packet in packets[:80]:
        restoring.decode(packet)
        concealing.decode(packet)
    assert restoring.recover(packets[81], FRAME_TICKS) == concealing.conceal(FRAME_TICKS)


def test_concealed_sound_has_the_duration_asked_for() -> None:
    decoder = Decoder()
    for packet in browser_packets(WEATHER)[:80]:
        decoder.decode(packet)
    for ticks in range(CONCEAL_STEP_TICKS, MAX_PACKET_TICKS + 1, CONCEAL_STEP_TICKS):
        assert len(decoder.conceal(ticks)) == ticks // 3 * 2


@pytest.mark.parametrize("ticks", [-960, 0, 1, 121, MAX_PACKET_TICKS + 120])
def test_a_duration_that_libopus_cannot_conceal_is_refused(ticks: int) -> None:
    with pytest.raises(OpusError):
        Decoder().conceal(ticks)
    with pytest.raises(OpusError):
        Decoder().recover(SPOKEN[60], ticks)


@pytest.mark.parametrize("payload", [b"", bytes(MAX_PAYLOAD_BYTES + 1), b"\xff\xff", b"\x03"])
def test_what_is_no_packet_is_refused(payload: bytes) -> None:
    assert duration(payload) == 0
    with pytest.raises(OpusError):
        Decoder().decode(payload)
    assert len(Decoder().recover(payload, FRAME_TICKS)) == DECODED_FRAME


def test_a_reset_decoder_is_as_good_as_new() -> None:
    packets = browser_packets(WEATHER)
    used = Decoder()
    for packet in packets[50:100]:
        used.decode(packet)
    used.reset()
    new = Decoder()
    assert [used.decode(packet) for packet in packets[:60]] == [new.decode(packet) for packet in packets[:60]]


def test_where_there_is_no_libopus_the_error_names_every_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "libopus.so"
    fake.write_bytes(b"no library")
    monkeypatch.setattr(opus, "_places", lambda: iter([str(fake), "libc.so.6"]))
    with pytest.raises(OpusError, match=r"libopus\.so.*libc\.so\.6"):
        opus._load.__wrapped__()


def test_the_operators_library_comes_first_then_the_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPUS_LIB", "/nowhere/libopus.so")
    places = list(opus._places())
    assert places[0] == "/nowhere/libopus.so"
    assert "libopus" in Path(places[1]).name
    assert opus.version().startswith("libopus ")


@pytest.mark.parametrize("quick", [0, 1])
def test_of_two_copies_the_quicker_one_encodes_and_the_first_decodes(
    quick: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPUS_LIB", raising=False)
    place = next(opus._places())
    copies = [opus._open(place), opus._open(place)]
    seconds = dict(zip(map(id, copies), (1 + quick, 2 - quick), strict=True))
    monkeypatch.setattr(opus, "_places", lambda: iter(["first", "second"]))
    monkeypatch.setattr(opus, "_open", lambda place: copies[place == "second"])
    monkeypatch.setattr(opus, "_trial", lambda lib: seconds[id(lib)])
    assert opus._quickest.__wrapped__() is copies[quick]


def test_the_operators_copy_encodes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPUS_LIB", "/nowhere/libopus.so")
    assert opus._quickest.__wrapped__() is opus._lib()


GOOD: Final = encoded(tone(440.0, 0.4, ENCODED_RATE))
SPOKEN: Final = browser_packets(WEATHER)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=1400), st.sampled_from(SPOKEN), st.sampled_from(SPOKEN).map(lambda p: p[:20])))
def test_no_bytes_break_the_decoder(junk: bytes) -> None:
    decoder = Decoder()
    for packet in GOOD[:5]:
        decoder.decode(packet)
    assert len(decoder.recover(junk, FRAME_TICKS)) == DECODED_FRAME
    try:
        assert len(decoder.decode(junk)) <= MAX_PACKET_TICKS // 3 * 2
    except OpusError:
        assert len(decoder.conceal(FRAME_TICKS)) == DECODED_FRAME
    heard = [decoder.decode(packet) for packet in GOOD[5:]]
    assert {len(pcm) for pcm in heard} == {DECODED_FRAME}
    assert Sound(b"".join(heard[-2:]), DECODED_RATE).level() == pytest.approx(-12.0, abs=1.5)


def test_the_level_is_full_scale_at_most() -> None:
    decoder = Decoder()
    loud = encoded(tone(1000.0, 0.2, ENCODED_RATE, level=-3.02))
    assert max(map(abs, array("h", b"".join(map(decoder.decode, loud))))) > 32768 * math.sqrt(0.5)
