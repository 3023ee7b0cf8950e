"""The bench tells the truth: its figures from stamps whose answer is known, its callers behave as browsers do."""

import argparse
import asyncio
import random
from dataclasses import replace
from typing import Any

import aioice.ice
import pytest
from aiohttp import ClientSession

from bench import ear, fate, local, material, network, quality, report, speech, stamps, tools
from bench.caller import RED_TYPE, Caller, Reception, formats, redundant, with_red, without_red
from bench.floor import Floor
from bench.report import Row
from bench.runs import DOWN, UP
from bench.side import Window
from bench.stamps import Got
from relay.audio import red
from relay.audio.opus import Decoder
from tests.running import running
from tests.sound import Sound, silence

MS = 1_000_000  # nanoseconds


@pytest.fixture(scope="module")
def sentence() -> Sound:
    return speech.sentence(speech.UPLINK_RATE)


def a_call(
    sentence: Sound, *, ahead: float, delay_ms: int, packets: int, frame_ms: int = 20
) -> tuple[list[int], dict[str, Any]]:
    """A call whose talk repeats `sentence`, which the model hears `delay_ms` later.

    Its sound is preceded by `ahead` seconds of silence, or lacks as many of its first if that is negative.
    """
    sent = [n * 20 * MS for n in range(packets)]
    spoken = (sentence.pcm * (1 + packets * 640 // len(sentence.pcm)))[: packets * 640]
    pcm = silence(ahead, 16000).pcm + spoken if ahead >= 0 else spoken[2 * round(-ahead * 16000) :]
    frames, size = [], 32 * frame_ms
    for end in range(size, len(pcm) + 1, size):
        last = (end // 640) - 1 - round(ahead / 0.02)  # the packet whose sound the frame's last sample is
        frames.append((sent[max(0, last)] + delay_ms * MS, size // 2))
    return sent, {"frames": frames, "levels": Sound(pcm, 16000).levels(stamps.STEP)}


@pytest.mark.parametrize("ahead", [0.0, 0.4, -0.2], ids=["as it is", "after silence", "its start missing"])
def test_the_uplink_delay_is_found_whatever_came_before(sentence: Sound, ahead: float) -> None:
    sent, heard = a_call(sentence, ahead=ahead, delay_ms=3, packets=400)
    up = stamps.uplink(sent, heard, sentence.levels(stamps.STEP))
    assert set(up.frames) == {3.0}
    assert up.missing == max(0, round(-ahead / 0.02))
    assert up.drift == 0


def test_batching_shows_in_the_delay_of_packets_and_not_of_frames(sentence: Sound) -> None:
    sent, heard = a_call(sentence, ahead=0.0, delay_ms=3, packets=400, frame_ms=40)
    up = stamps.uplink(sent, heard, sentence.levels(stamps.STEP))
    assert set(up.frames) == {3.0}
    assert {delay for _, delay in up.packets} == {3.0, 23.0}


def test_sound_lost_on_the_way_shows_as_drift(sentence: Sound) -> None:
    sent, heard = a_call(sentence, ahead=0.0, delay_ms=3, packets=500)
    steps = round(0.02 / stamps.STEP)
    del heard["levels"][200 * steps : 203 * steps]
    assert stamps.uplink(sent, heard, sentence.levels(stamps.STEP)).drift == -3


def test_a_model_that_heard_something_else_is_an_error(sentence: Sound) -> None:
    rng = random.Random(1)
    sent, heard = a_call(sentence, ahead=0.0, delay_ms=3, packets=400)
    heard["levels"] = [rng.random() for _ in heard["levels"]]
    with pytest.raises(stamps.NotHeard):
        stamps.uplink(sent, heard, sentence.levels(stamps.STEP))


def test_an_onset_is_the_first_loud_packet_after_the_turn_began() -> None:
    packets = [(0, 1, 0, 3), (9 * MS, 2, 0, 120), (20 * MS, 3, 0, 3), (32 * MS, 4, 1, 150), (52 * MS, 5, 0, 150)]
    got = [Got(*packet) for packet in packets]
    assert stamps.onset_delays([8 * MS, 30 * MS], got) == [1.0, 2.0]


def test_missing_sequence_numbers_are_counted_over_the_wrap() -> None:
    numbers = [number & 0xFFFF for number in range(65_000, 65_000 + 140_000) if number % 1000 != 7]
    got = [Got(n * 20 * MS, number, 0, 100) for n, number in enumerate(numbers)]
    assert stamps.lost(got) == 140
    assert stamps.gaps(got[:10]) == [20.0] * 9
    assert stamps.rate([packet.at for packet in got]) == pytest.approx(50)


def test_a_row_says_whether_its_median_meets_the_target() -> None:
    assert Row("a", [1.0, 2.0, 9.0], "ms", 2.0).met
    assert Row("b", [2.1], "ms", 2.0).met is False
    assert Row("c", [1.0], "ms").met is None
    assert Row("d", [100.0], "", 90, least=True).met
    assert "MISSED" in report.line(Row("b", [2.1], "ms", 2.0))


def test_a_target_is_met_missed_or_not_measured_and_a_run_that_could_not_measure_all_says_so() -> None:
    met, missed, bare = Row("a", [1.0], "ms", 2.0), Row("b", [3.0], "ms", 2.0), Row("c", [], "ms", note="to be told")
    absent = Row("d", [], "ms", 2.0, "it takes root")
    assert report.outcome([met, bare]) == "all targets met"
    assert report.outcome([met, missed]) == "1 target missed\n- b"
    assert report.outcome([met, absent, absent]).splitlines() == ["2 targets not measured", *["- d: it takes root"] * 2]
    assert report.outcome([missed, absent]).splitlines()[::2] == ["1 target missed", "1 target not measured"]


@pytest.mark.parametrize("room", [network, quality, local], ids=["network", "quality", "local"])
def test_a_room_that_cannot_measure_names_every_target_that_it_has_not(
    room: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> Any:
        raise material.NoMaterial("nothing is there")

    def fails(*_: object) -> Any:
        raise RuntimeError("nothing is there")

    async def nobody() -> list[Row]:
        return []

    monkeypatch.setattr(network, "obstacle", lambda: "nothing is there")
    monkeypatch.setattr(network, "without_a_browser", nobody)
    monkeypatch.setattr(material, "librivox", missing)
    monkeypatch.setattr(local, "talks", fails)
    rows = room.rows(argparse.Namespace(quick=True, alone=False))
    assert not any(row.values for row in rows)
    assert sum(row.target is not None for row in rows) >= 5
    assert all(row.note == "nothing is there" for row in rows if row.target is not None)


def test_speech_without_the_recording_is_loud_from_its_first_frame() -> None:
    sound = speech.trimmed(speech.synthetic(24000, 1.0))
    assert sound.seconds > 0.8
    assert sound.levels(0.02)[0] > 100
    assert all(len(packet) > 10 for packet in speech.packets(sound.at(16000))[1:])


def test_a_packet_that_never_left_has_no_delay(sentence: Sound) -> None:
    sent, heard = a_call(sentence, ahead=0.0, delay_ms=3, packets=400)
    up = stamps.uplink(sent, heard, sentence.levels(stamps.STEP), dropped=[100, 101])
    assert {100, 101}.isdisjoint(packet for packet, _ in up.packets)
    assert {99, 102} <= {packet for packet, _ in up.packets}


def test_a_delay_is_found_though_sound_is_lost_for_good(sentence: Sound) -> None:
    """Of the second half five frames of 25 are cut out, and what remains comes closer and closer together."""
    sent, heard = a_call(sentence, ahead=0.0, delay_ms=100, packets=600)
    kept = [n for n in range(600) if n < 300 or n % 25 > 4]
    heard["frames"] = [heard["frames"][n] for n in kept]
    heard["levels"] = [level for n in kept for level in heard["levels"][n * stamps.STEPS :][: stamps.STEPS]]
    lags = stamps.lags(sent, heard, sentence.levels(stamps.STEP))
    assert len([packet for packet, _ in lags if packet > 300]) > 10
    assert all(delay == pytest.approx(100, abs=40) for _, delay in lags)
    assert [packet for packet, _ in lags] == sorted(packet for packet, _ in lags)


def test_the_ratio_says_how_many_times_better_than_stock() -> None:
    assert Row("a", [2.0], "ms", stock=[80.0]).ratio == 40
    assert Row("b", [120.0], "calls", stock=[12.0], least=True).ratio == 10
    assert Row("c", [0.0], "ms", stock=[6.0]).ratio is None
    assert Row("d", [2.0], "", stock=[6.0]).ratio is None
    assert report.line(Row("d", [2.0], "ms", 3, "note", [80.0], 0.5)).split() == [
        *("d", "2.00", "ms", "≤", "3", "ok", "80.0", "40.0", "×", "0.50", "note"),
    ]


def a_window(gap_ms: int = 20, lost: int = 0, heard: int = 250) -> Window:
    """Five seconds of one call."""
    got = [(n * gap_ms * MS, n, 0, 100) for n in range(5000 // gap_ms) if n not in range(50, 50 + lost)]
    call = {"got": got, "sent": [n * 20 * MS for n in range(250)], "dropped": [], "red": True}
    return Window(
        *(1, 5.0, 0, 1.0, {}, [call], [], [heard], [], []),
    )


def test_a_relay_keeps_up_if_no_packet_is_late_or_lost_either_way() -> None:
    assert a_window().keeps_up
    assert not a_window(gap_ms=25).keeps_up
    assert not a_window(lost=1).keeps_up
    assert not a_window(heard=240).keeps_up
    jerky = replace(a_window(), taken=[a_window().taken[0] | {"got": jerks()}])
    assert jerky.slowest > 49.5
    assert not jerky.keeps_up


def jerks() -> list[tuple[int, int, int, int]]:
    """Fifty packets a second, every tenth of which waits for the one after it."""
    return [((n + (n % 10 == 9)) * 20 * MS, n, 0, 100) for n in range(250)]


def test_losses_repeat_and_spare_the_first_second() -> None:
    first = fate.losing(0.05, seed=1)
    assert first == fate.losing(0.05, seed=1) != fate.losing(0.05, seed=2)
    assert min(first.dropped) >= fate.FIRST
    assert len(first.dropped) / fate.LONGEST == pytest.approx(0.05, abs=0.01)
    bumpy = fate.bumpy()
    assert len(bumpy.held) == fate.STALL - 1
    assert len(bumpy.dropped) == fate.HOLE


OFFER = (
    "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96 9 0\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:9 G722/8000\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
)


def test_the_offer_has_red_as_chromium_puts_it_and_the_answer_loses_it_again() -> None:
    offer = with_red(OFFER)
    assert f"m=audio 9 UDP/TLS/RTP/SAVPF 96 {RED_TYPE} 9 0\r\n" in offer
    assert f"a=rtpmap:{RED_TYPE} red/48000/2\r\na=fmtp:{RED_TYPE} 96/96\r\n" in offer
    assert without_red(offer) == OFFER
    assert formats(offer[5:]) == (96, False)
    preferred = offer[5:].replace(f"96 {RED_TYPE} 9 0", f"{RED_TYPE} 96")
    assert formats(preferred) == (96, True)
    assert "SAVPF 96\r\n" in without_red(preferred)


def test_a_redundant_packet_brings_the_one_before_it() -> None:
    packets = redundant([b"first", b"second", b"third!"], 96)
    assert red.read(packets[1], 96) == red.Red(b"second", (red.Block(960, b"first"),))
    assert red.read(packets[0], 96) == red.Red(b"first", (red.Block(960, b"third!"),))


def test_a_receiver_report_tells_the_share_lost_since_the_last() -> None:
    reception = Reception(65530)
    for number in range(100):
        if number % 4:
            reception.note((65530 + number) & 0xFFFF)
    assert reception.fraction_lost == 25 * 256 // 100
    assert reception.packets_lost == 25
    reception.note((65530 + 100) & 0xFFFF)
    assert reception.fraction_lost == 0


async def test_the_floor_knows_what_every_step_costs() -> None:
    costs = await Floor().measure(0.05)
    assert costs.keys() == UP.keys() | DOWN.keys()
    assert costs["decode"] > 1
    assert costs["encode"] > 1


async def test_a_caller_is_heard_and_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of it against the real relay: RED is agreed upon, packets arrive both ways, the socket is freed."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    spoken = speech.packets(speech.sentence(speech.UPLINK_RATE))

    async def speak(base: str) -> None:
        async with ClientSession() as http:
            caller = Caller(random.Random(1))
            await caller.dial(http, base)
            assert caller.red
            said = redundant(spoken, caller.opus_type)
            while len(caller.got) < 5:
                caller.send(said)
                await asyncio.sleep(0.02)
                caller.drain()
            stamp, _, _, size = caller.got[0]
            assert caller.sent[0] - 10_000 * MS < stamp < caller.sent[-1] + 100 * MS
            assert 0 < size < 400
            await caller.close()

    def alone(base: str) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:  # uvloop's gives no socket out of hand
            runner.run(speak(base))

    async with running() as relay:
        await asyncio.to_thread(alone, relay.base)


def test_calls_of_functions_are_timed_over_a_real_connection() -> None:
    rows = tools.rows(argparse.Namespace(quick=True))
    assert len(rows) == 3
    assert all(row.unit == "ms" and 0.01 < row.values[0] < 1000 for row in rows)


def test_what_is_left_of_voice_to_voice_without_the_models_time_is_ours() -> None:
    asked, spoke, answered = 100 * MS, 112 * MS, 340 * MS
    got = [Got(330 * MS, 1, 0, 80), Got(341 * MS, 2, 0, 8), Got(343 * MS, 3, 0, 80)]
    assert stamps.voice_to_voice([asked], [(spoke, answered)], got) == [12 + 3]
    assert stamps.voice_to_voice([200 * MS], [(spoke, answered)], got) == [], "nobody asked"
    assert stamps.voice_to_voice([asked], [(spoke, 350 * MS)], got) == [], "nobody was answered"
    assert stamps.voice_to_voice([asked], [(spoke, answered)], got, within=0.2) == [], "that was another question"


def test_the_models_ear_knows_which_packet_was_the_last_of_a_turn() -> None:
    (packets, spoken), decoder, hears = ear.turn(), Decoder(), ear.Ear()
    heard = (decoder.decode(packet) for packet in packets * 2)
    told = [(number, hears.hear(number, pcm)) for number, pcm in enumerate(heard)]
    last = spoken - 1
    assert [each for each in told if each[1] is not None] == [
        (last + ear.QUIET, last),
        (len(packets) + last + ear.QUIET, len(packets) + last),
    ]
