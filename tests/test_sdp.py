"""Offers are screened before aiortc sees them, answers finished before the browser does."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.errors import BrowserFault
from relay.said import MAX_MESSAGE
from relay.webrtc import sdp

OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1",
        "a=fingerprint:sha-256 00:11:22",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:63 red/48000/2",
        "a=fmtp:63 111/111",
        "a=candidate:1 1 udp 2122194687 192.0.2.7 53169 typ host",
        "a=end-of-candidates",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=candidate:1 1 udp 2122194687 192.0.2.7 53170 typ host",
        "a=mid:1",
        "",
    ]
)


def code_of(text: str) -> str:
    with pytest.raises(BrowserFault) as fault:
        sdp.screen(text)
    return fault.value.code


def test_every_candidate_and_end_mark_is_taken_out_and_nothing_else() -> None:
    screened = sdp.screen(OFFER)
    assert "candidate" not in screened
    assert [line for line in OFFER.splitlines() if "candidates" not in line and "candidate" not in line] == (
        screened.splitlines()
    )


def test_ten_thousand_candidates_are_too_many_lines() -> None:
    bomb = OFFER + "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n" * sdp.MAX_LINES
    assert code_of(bomb) == "sdp-too-large"


def test_more_media_sections_than_a_client_has_are_refused() -> None:
    assert code_of(OFFER + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * (sdp.MAX_MEDIA_SECTIONS - 1)) == "sdp-too-large"


def test_a_line_longer_than_the_limit_is_refused() -> None:
    fits = OFFER + "a=x:" + "y" * (sdp.MAX_LINE_BYTES - 4) + "\r\n"
    assert "a=x:" in sdp.screen(fits)
    assert code_of(fits + "a=x:" + "y" * (sdp.MAX_LINE_BYTES - 3) + "\r\n") == "sdp-too-large"


@pytest.mark.parametrize("text", ["", "hello", "m=audio 9 x 111\r\n", "\x00" * 100])
def test_what_is_no_session_description_is_said_to_be_none(text: str) -> None:
    assert code_of(text) == "bad-sdp"


def test_an_offer_without_opus_is_refused_by_name() -> None:
    assert code_of(OFFER.replace("opus/48000/2", "PCMU/8000")) == "no-opus"
    assert code_of("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n") == "no-opus"


def test_an_offer_whose_sender_nobody_could_recognise_is_refused() -> None:
    assert code_of(OFFER.replace("a=fingerprint", "a=x-fingerprint")) == "bad-sdp"


def test_opus_is_found_by_its_name_not_its_number() -> None:
    assert sdp.opus_payload_type(OFFER) == 111
    assert sdp.opus_payload_type(OFFER.replace("111", "109")) == 109


def test_the_answer_asks_for_fec_wideband_and_28_kilobits() -> None:
    answer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 109\r\na=rtpmap:109 opus/48000/2\r\na=mid:0\r\n"
    finished = sdp.finish(answer).splitlines()
    fmtp = finished[finished.index("a=rtpmap:109 opus/48000/2") + 1]
    assert fmtp.startswith("a=fmtp:109 ")
    parameters = dict(item.split("=") for item in fmtp.split(" ", 1)[1].split(";"))
    assert parameters["useinbandfec"] == "1"
    assert parameters["maxplaybackrate"] == "16000"
    assert 24_000 <= int(parameters["maxaveragebitrate"]) <= 32_000
    assert "usedtx" not in parameters


def test_the_answer_names_the_longest_message_that_is_read() -> None:
    answer = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=max-message-size:262144\r\na=mid:1\r\n"
    assert sdp.finish(answer) == answer.replace("262144", str(MAX_MESSAGE))


LONG = [
    *("v=0", "a=group:BUNDLE 0 1"),
    *(
        "m=audio 5 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=candidate:1 1 udp 1 192.0.2.1 5 typ host",
        "a=end-of-candidates",
    ),
    *("a=fingerprint:sha-256 00", "a=fingerprint:sha-384 11", "a=fingerprint:sha-512 22"),
    *("m=application 5 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:1", "a=candidate:1 1 udp 1 192.0.2.1 5 typ host"),
    *("a=end-of-candidates", "a=fingerprint:sha-256 00", "a=fingerprint:sha-384 11"),
]


def test_of_sections_that_share_a_transport_the_first_alone_has_candidates_and_there_is_one_fingerprint() -> None:
    finished = sdp.finish("\r\n".join(LONG)).splitlines()
    gone = {"a=fingerprint:sha-384 11", "a=fingerprint:sha-512 22"}
    assert finished == [
        line for at, line in enumerate(LONG) if line not in gone and not (at > 9 and "candidate" in line)
    ]


def test_sections_with_a_transport_of_their_own_keep_their_candidates() -> None:
    alone = [line for line in LONG if "BUNDLE" not in line]
    assert sdp.finish("\r\n".join(alone)).count("a=candidate:") == 2


def test_a_section_without_sha_256_keeps_what_it_has() -> None:
    assert "sha-384" in sdp.finish("v=0\r\nm=audio 5 x 111\r\na=fingerprint:sha-384 11\r\n")


def test_finishing_twice_changes_nothing() -> None:
    answer = sdp.finish("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 109\r\na=rtpmap:109 opus/48000/2\r\n")
    assert sdp.finish(answer) == answer


# What aiortc answers to `OFFER`.
ANSWER = "\r\n".join(
    [
        "v=0",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=sendrecv",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        "a=mid:0",
        "a=rtpmap:111 opus/48000/2",
        "a=rtcp-fb:111 transport-cc",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "a=mid:1",
        "",
    ]
)


def test_redundancy_over_opus_is_answered_and_preferred_and_the_rest_untouched() -> None:
    plain, redundant = sdp.finish(ANSWER).splitlines(), sdp.finish(ANSWER, OFFER).splitlines()
    assert redundant[2] == "m=audio 9 UDP/TLS/RTP/SAVPF 63 111"
    added = ["a=rtpmap:63 red/48000/2", "a=fmtp:63 111/111"]
    assert [line for line in redundant if line not in added and line != redundant[2]] == (
        [line for line in plain if line != plain[2]]
    )
    assert [line for line in redundant if line in added] == added


def test_redundancy_is_found_in_an_offer_and_in_what_we_answered() -> None:
    assert sdp.red_payload_type(OFFER) == sdp.red_payload_type(sdp.finish(ANSWER, OFFER)) == 63
    assert sdp.red_payload_type(ANSWER) is sdp.red_payload_type(sdp.finish(ANSWER)) is None
    assert sdp.red_payload_type("") is None


def test_finishing_twice_with_redundancy_changes_nothing() -> None:
    answer = sdp.finish(ANSWER, OFFER)
    assert sdp.finish(answer, OFFER) == answer


@pytest.mark.parametrize("fmtp", ["a=fmtp:63 111/111/111", "a=fmtp:63 111/111 ", "a=fmtp:63  111/111"])
def test_redundancy_of_any_depth_is_answered_with_one_copy(fmtp: str) -> None:
    assert sdp.finish(ANSWER, OFFER.replace("a=fmtp:63 111/111", fmtp)) == sdp.finish(ANSWER, OFFER)


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("a=rtpmap:63 red/48000/2", "a=x:63"),
        ("a=rtpmap:63 red/48000/2", "a=rtpmap:63 red/8000"),
        ("a=rtpmap:63 red/48000/2", "a=rtpmap:63 red/90000"),
        ("a=rtpmap:63 red/48000/2", "a=rtpmap:63 red/48000/2\r\na=rtpmap:63 PCMU/8000"),
        ("a=fmtp:63 111/111", "a=x:63"),
        ("a=fmtp:63 111/111", "a=fmtp:63 111"),
        ("a=fmtp:63 111/111", "a=fmtp:63 9/9"),
        ("a=fmtp:63 111/111", "a=fmtp:63 111/9"),
        ("a=fmtp:63 111/111", "a=fmtp:63 111/111/"),
        ("a=fmtp:63 111/111", "a=fmtp:63 "),
        ("a=fmtp:63 111/111", "a=fmtp:63 111/111\r\na=fmtp:63 9/9"),
        ("SAVPF 111 63 9", "SAVPF 111 9"),
    ],
)
def test_redundancy_that_is_not_surely_opus_is_not_answered(line: str, instead: str) -> None:
    offer = OFFER.replace(line, instead)
    assert offer != OFFER
    assert sdp.red_payload_type(offer) is None
    assert sdp.finish(ANSWER, offer) == sdp.finish(ANSWER)


@pytest.mark.parametrize("payload_type", ["64", "95", "128", "063", "6x", "٦٣", "111", "-1"])
def test_redundancy_with_a_payload_type_that_cannot_be_told_on_the_wire_is_not_answered(payload_type: str) -> None:
    offer = OFFER.replace(" 63 9", f" {payload_type} 9").replace(":63 ", f":{payload_type} ")
    assert sdp.finish(ANSWER, offer) == sdp.finish(ANSWER)


def test_redundancy_over_another_opus_than_ours_is_not_answered() -> None:
    answer = ANSWER.replace("111", "109")
    assert sdp.finish(answer, OFFER) == sdp.finish(answer)


def test_a_payload_type_that_the_answer_uses_otherwise_is_not_given_away() -> None:
    answer = ANSWER.replace("SAVPF 111", "SAVPF 111 63").replace("a=mid:0", "a=mid:0\r\na=rtpmap:63 PCMU/8000")
    assert sdp.finish(answer, OFFER) == sdp.finish(answer)


def test_of_two_audio_sections_only_the_first_is_finished() -> None:
    second = "\r\n".join(OFFER.splitlines()[6:12]) + "\r\n"
    answered = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=inactive\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 x=1\r\n"
    assert sdp.finish(ANSWER + answered, OFFER + second) == sdp.finish(ANSWER, OFFER) + answered
    without = OFFER.replace("a=fmtp:63 111/111\r\n", "")
    assert sdp.finish(ANSWER + answered, without + second) == sdp.finish(ANSWER) + answered


def test_a_description_of_another_section_with_opus_number_is_left_alone() -> None:
    video = "m=video 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 VP8/90000\r\na=fmtp:111 x=1\r\n"
    assert sdp.finish(ANSWER + video, OFFER).endswith(video)


@settings(max_examples=60)
@given(st.text(), st.lists(st.sampled_from(OFFER.splitlines()), max_size=30).map("\r\n".join))
def test_no_offer_breaks_the_answer(text: str, shuffled: str) -> None:
    for offer in (text, "v=0\r\n" + text, OFFER + text, shuffled, OFFER + shuffled):
        finished = sdp.finish(ANSWER, offer)
        assert finished in (sdp.finish(ANSWER), sdp.finish(ANSWER, OFFER))


@pytest.mark.parametrize("numbers", [128, 1])
def test_a_thousand_descriptions_of_redundancy_are_read_in_a_moment(numbers: int) -> None:
    formats = " ".join(str(n % numbers) for n in range(500))
    lines = [f"a={kind}:{n % numbers} {'111/' * 20}" for n in range(sdp.MAX_LINES) for kind in ("rtpmap", "fmtp")]
    bomb = "\r\n".join(["v=0", f"m=audio 9 x {formats}", "a=rtpmap:111 opus/48000/2", *lines])
    started = time.process_time()
    assert sdp.red_payload_type(bomb) is None
    assert time.process_time() - started < 0.05


def test_the_largest_body_that_is_let_in_is_screened_in_a_moment() -> None:
    size = 64 * 1024  # of the whole request, so an offer is smaller still
    room = sdp.MAX_LINES - OFFER.count("\n")
    candidate = "a=candidate:".ljust((size - len(OFFER)) // room - 2, "9") + "\r\n"
    largest, endless = OFFER + candidate * room, (OFFER + "a=candidate:" * size)[:size]
    assert size - room < len(largest) <= size
    started = time.process_time()
    assert "candidate" not in sdp.screen(largest)
    assert code_of(endless) == "sdp-too-large"
    assert time.process_time() - started < 0.02


@settings(max_examples=60)
@given(st.text())
def test_any_text_is_screened_or_refused_with_a_code(text: str) -> None:
    for offer in (text, "v=0\r\n" + text, OFFER + text):
        try:
            told = sdp.screen(offer)
        except BrowserFault as fault:
            told = fault.code
        assert told.startswith("v=0") or told in {"bad-sdp", "sdp-too-large", "no-opus"}


SHOWS = """m=video 9 UDP/TLS/RTP/SAVPF 96 97\r
c=IN IP4 0.0.0.0\r
a=mid:1\r
a=ssrc-group:FID 11 12\r
a=ssrc:11 cname:x\r
a=ssrc:11 msid:- y\r
a=ssrc:12 cname:x\r
m=video 0 UDP/TLS/RTP/SAVPF 96\r
c=IN IP4 0.0.0.0\r
a=mid:screen\r
a=ssrc:4294967295 cname:x\r
a=ssrc:4294967296 cname:x\r
a=ssrc:13\r
"""


def test_the_streams_of_video_are_known_by_their_sections_without_retransmissions() -> None:
    offer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ssrc:1 cname:x\r\n" + SHOWS
    assert list(sdp.video_streams(offer).items()) == [("1", (11,)), ("screen", (4294967295, 13))]
    assert sdp.video_streams("") == {}


def test_of_a_section_that_lists_many_streams_few_are_looked_at() -> None:
    many = SHOWS + "".join(f"a=ssrc:{n} cname:x\r\n" for n in range(100, 400))
    assert len(sdp.video_streams(many)["screen"]) == sdp.MAX_VIDEO_STREAMS


def test_video_is_asked_for_at_a_rate_and_sound_is_not() -> None:
    sound = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n"
    bounded = sdp.bound_video(sound + SHOWS)
    assert bounded.startswith(sound + "m=video")
    rate = f"b=AS:{sdp.VIDEO_KILOBITS_PER_SECOND}\r\nb=TIAS:{sdp.VIDEO_KILOBITS_PER_SECOND}000\r\n"
    assert bounded.count(f"c=IN IP4 0.0.0.0\r\n{rate}a=mid:") == 2
    assert bounded.replace(rate, "") == sound + SHOWS
