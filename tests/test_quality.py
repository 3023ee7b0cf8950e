"""What the bench's judgement of quality rests on; PESQ and STOI themselves are not needed here."""

import functools
import re

from bench import hearing, opus, quality
from bench.hearing import PATH, Arrivals, Stream
from bench.opus import FRAME, Setting
from relay.audio.red import read
from relay.webrtc.sdp import OPUS_FMTP
from tests.netem import Trouble
from tests.sound import compare, read_wav

SENTENCE = read_wav("tests/sounds/weather.wav")


@functools.cache
def stream(expected_loss: int = 10) -> Stream:
    return hearing.stream(SENTENCE, Setting("voip", quality.BIT_RATE, 9, expected_loss, opus.WIDEBAND))


def clean() -> Arrivals:
    return [(PATH + n * FRAME, n) for n in range(len(stream().packets))]


def test_the_bench_encodes_at_the_rate_that_our_answer_asks_for() -> None:
    assert f"maxaveragebitrate={quality.BIT_RATE}" in OPUS_FMTP
    assert "maxplaybackrate=16000" in OPUS_FMTP
    assert {payload[0] >> 3 for payload in stream().packets} == {9}, "SILK, wideband, 20 ms"


def test_over_a_clean_path_everybody_hears_the_sentence_in_its_place() -> None:
    for heard in (hearing.ours(stream(), clean(), True), hearing.stock(stream(), clean())):
        likeness = compare(SENTENCE, heard.sound(stream().spoken))
        assert likeness.same
        assert abs(likeness.lag) < FRAME
        assert heard.share(stream().spoken) == 1
        assert heard.late == 0


def test_with_losses_we_deliver_the_whole_duration_and_aiortc_does_not() -> None:
    arrivals = hearing.carry(stream(), Trouble(delay=PATH, loss=0.1), 1)
    ours, stock = hearing.ours(stream(), arrivals, True), hearing.stock(stream(), arrivals)
    assert ours.share(stream().spoken) == 1
    assert stock.share(stream().spoken) < 0.9
    assert max(hearing.waits(ours, arrivals).values()) < min(hearing.waits(stock, arrivals).values())


def test_a_copy_in_the_next_packet_makes_a_single_loss_unheard() -> None:
    arrivals = [(at, n) for at, n in clean() if n % 5 != 2]
    whole, with_copies, without = (
        hearing.ours(stream(), packets, red).frames
        for packets, red in ((clean(), True), (arrivals, True), (arrivals, False))
    )
    spoken = stream().spoken
    assert all(with_copies[n] == whole[n] for n in spoken)
    assert all(n in without for n in spoken)
    assert any(without[n] != whole[n] for n in spoken)


def test_a_packet_brings_the_one_before_it_along_as_chromium_does() -> None:
    primary, wrapped = stream().payloads(5, True)
    found = read(wrapped, hearing.PAYLOAD_TYPE)
    assert found is not None
    assert found.primary == primary == stream().packets[5]
    assert [block.payload for block in found.redundant] == [stream().packets[4]]
    assert stream().payloads(5, False) == (primary, b"")


def test_the_same_seed_is_the_same_network() -> None:
    trouble = Trouble(delay=PATH, loss=0.1)
    assert hearing.carry(stream(), trouble, 3) == hearing.carry(stream(), trouble, 3)
    assert hearing.carry(stream(), trouble, 3) != hearing.carry(stream(), trouble, 4)


def test_every_network_of_the_bench_has_a_name_of_its_own() -> None:
    plan = [(quality.network(trouble), way) for trouble, way, _ in quality.plan()]
    assert len(set(plan)) == len(plan)
    assert all(re.fullmatch(r"[\d.]+ (% lost( in bursts of \d)?|ms of jitter)", name) for name, _ in plan)
