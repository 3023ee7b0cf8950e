"""Screen an offer before aiortc sees it, and finish the answer before the browser sees it (RFC 8866, RFC 8829).

Screening is linear in the size of the text and knows nothing of WebRTC's state: too much is refused, what
could aim our packets at a third party is taken out, and an offer that cannot become a call is told so.
"""

import re
from collections import defaultdict
from itertools import pairwise
from typing import Final

from relay.errors import BrowserFault
from relay.said import MAX_MESSAGE

# Chromium's gathered offer of four sections on two addresses has 303 lines; each address adds four candidates.
MAX_LINES: Final = 800
# microphone, camera, screen, data channel: what the official clients offer at most
MAX_MEDIA_SECTIONS: Final = 4
# the longest honest line (an fmtp or a candidate) stays under 300 bytes
MAX_LINE_BYTES: Final = 2048

# What we ask of the browser's encoder: in-band FEC; wideband, which is all that a 16 kHz model hears and half
# the decoding work; a rate at which Chromium keeps wideband even under loss (at 20 kb/s it falls to 12 kHz).
OPUS_FMTP: Final = "minptime=10;useinbandfec=1;maxplaybackrate=16000;maxaveragebitrate=28000;stereo=0"
# What each picture section may send: a clear key frame of 640 by 480 a second, and as few packets as possible of the
# frames between, which nobody decodes. Chromium would send up to 2.5 Mb/s.
VIDEO_KILOBITS_PER_SECOND: Final = 500
# An encoder sends one stream, three with simulcast; more SSRCs than that are not looked at.
MAX_VIDEO_STREAMS: Final = 4

_CANDIDATE: Final = ("a=candidate:", "a=end-of-candidates", "a=remote-candidates:")
_SSRC: Final = re.compile(r"a=ssrc:(\d{1,10})(?: |$)", re.ASCII)
_RETRANSMITTED: Final = re.compile(r"a=ssrc-group:FID \d{1,10} (\d{1,10})\s*$", re.ASCII)
_OPUS: Final = re.compile(r"a=rtpmap:(\d{1,3}) opus/48000(?:/2)?\s*$", re.IGNORECASE | re.ASCII)
# RFC 5761 §4: a payload type from 64 to 95 looks like RTCP on the wire.
_USABLE_PAYLOAD_TYPES: Final = frozenset(map(str, (*range(64), *range(96, 128))))


def screen(text: str) -> str:
    """Give back the offer without its candidates, in CRLF lines.

    Raises `BrowserFault`: ``sdp-too-large`` for more lines, longer lines or more sections than a real client
    sends; ``bad-sdp`` for what is no session description; ``no-opus`` without an audio section that has Opus.

    Candidates are taken out so that our ICE agent sends to nobody who has not first proven, by a connectivity
    check from its own address, that it knows our password (RFC 8445 §7.3.1.3, peer-reflexive candidates); the
    end-of-candidates mark goes too, because the agent would give up waiting for that check.
    """
    lines = text.splitlines()
    if len(lines) > MAX_LINES or any(len(line.encode()) > MAX_LINE_BYTES for line in lines):
        raise BrowserFault("sdp-too-large")
    if not lines or lines[0].strip() != "v=0":
        raise BrowserFault("bad-sdp", "does not begin with v=0")
    if sum(line.startswith("m=") for line in lines) > MAX_MEDIA_SECTIONS:
        raise BrowserFault("sdp-too-large", "media sections")
    if opus_payload_type(text) is None:
        raise BrowserFault("no-opus")
    if not any(line.startswith("a=fingerprint:") for line in lines):
        raise BrowserFault("bad-sdp", "no fingerprint")
    kept = [line for line in lines if not line.startswith(_CANDIDATE)]
    return "\r\n".join(kept) + "\r\n"


def candidates(offer: str) -> list[str]:
    """The lines of an offer that say where the browser is; `screen` takes them out."""
    return [line for line in offer.splitlines() if line.startswith("a=candidate:")]


def trickling(answer: str) -> str:
    """Ask the browser to tell its candidates as it finds them (RFC 8840 §4.1.1)."""
    return answer.replace("\r\nm=", "\r\na=ice-options:trickle\r\nm=", 1)


def opus_payload_type(text: str) -> int | None:
    """The payload type of Opus in the first audio section, or None."""
    return _opus_in(_first_audio(text.splitlines())[1])


def red_payload_type(text: str) -> int | None:
    """The payload type of redundancy (RFC 2198) in the first audio section, or None.

    It counts if it is listed and described once, at Opus's clock, and all its blocks are that section's Opus.
    """
    section = _first_audio(text.splitlines())[1]
    opus = str(_opus_in(section))
    said: defaultdict[str, list[str]] = defaultdict(list)
    for line in section:
        attribute, _, value = line.partition(" ")
        said[attribute].append(value.strip().lower())
    for payload_type in dict.fromkeys(_formats(section)):
        blocks = "/".join(said[f"a=fmtp:{payload_type}"]).split("/")
        once = len(said[f"a=fmtp:{payload_type}"]) == 1 and len(blocks) > 1
        is_red = said[f"a=rtpmap:{payload_type}"] == ["red/48000/2"] and once and set(blocks) == {opus}
        if is_red and payload_type in _USABLE_PAYLOAD_TYPES:
            return int(payload_type)
    return None


def video_streams(offer: str) -> dict[str, tuple[int, ...]]:
    """The SSRCs of each video section by its mid, in the order of the offer, without those of retransmissions."""
    found: dict[str, tuple[int, ...]] = {}
    for section in _sections(offer.splitlines()):
        if not section[0].startswith("m=video "):
            continue
        mid = next((line[6:].strip() for line in section if line.startswith("a=mid:")), "")
        ssrcs, again = dict[int, None](), set[int]()
        for line in section:
            if (match := _SSRC.match(line)) and int(match.group(1)) < 1 << 32:
                ssrcs[int(match.group(1))] = None
            elif match := _RETRANSMITTED.match(line):
                again.add(int(match.group(1)))
        found[mid] = tuple(ssrc for ssrc in ssrcs if ssrc not in again)[:MAX_VIDEO_STREAMS]
    return found


def announced(offer: str) -> tuple[int, ...]:
    """The SSRCs that an offer names, those of sound first as they stand there."""
    lines = (match for line in offer.splitlines() if (match := _SSRC.match(line)))
    return tuple(dict.fromkeys(ssrc for match in lines if (ssrc := int(match.group(1))) < 1 << 32))


def say_lite(answer: str) -> str:
    """Say that the browser has to make the checks (RFC 8839 §5.3): before the first attribute, where all calls share a
    port."""
    before, timing, after = answer.partition("t=0 0\r\n")
    return before + timing + "a=ice-lite\r\n" + after if timing else answer


def bound_video(answer: str) -> str:
    """Ask for little in each video section that is answered (RFC 8866 §5.8, RFC 3890): the rate that we can use."""
    lines: list[str] = []
    video = False
    for line in answer.splitlines():
        if line.startswith("m="):
            video = line.startswith("m=video ")
        lines.append(line)
        if video and line.startswith("c="):
            rate = VIDEO_KILOBITS_PER_SECOND
            lines += [f"b=AS:{rate}", f"b=TIAS:{1000 * rate}"]
    return "\r\n".join(lines) + "\r\n"


def finish(answer: str, offer: str = "") -> str:
    """Say in the answer what aiortc does not know: how we want Opus (RFC 7587 §6.1), and how long a message may be.

    If the `offer` has redundancy over the same Opus, it is answered and preferred: a browser then sends each packet
    twice. Give none for a line that cannot read that. A client that knows the longest message (RFC 8841 §6) refuses
    a longer one itself, instead of waiting for an answer. What aiortc says more than once is said once: a small device
    reads no more than 4096 bytes.
    """
    lines = [
        f"a=max-message-size:{MAX_MESSAGE}" if line.startswith("a=max-message-size:") else line
        for line in _said_once(answer.splitlines())
    ]
    start, audio = _first_audio(lines)
    opus, red = _opus_in(audio), red_payload_type(offer)
    taken = str(red) in _formats(audio) and red_payload_type(answer) != red
    if opus != opus_payload_type(offer) or taken:
        red = None
    if opus is not None:
        lines[start : start + len(audio)] = _finished_audio(audio, opus, red)
    return "\r\n".join(lines) + "\r\n"


def _said_once(lines: list[str]) -> list[str]:
    """Of all fingerprints the one by SHA-256, which every client knows (RFC 8122 §5), and of sections that share a
    transport the candidates of the first alone: those of the others would be ignored (RFC 9429 §5.3.1)."""
    bundled = next((line.split()[2:] for line in lines if line.startswith("a=group:BUNDLE ")), [])
    at = next((at for at, line in enumerate(lines) if line.startswith("m=")), len(lines))
    kept = lines[:at]
    for section in _sections(lines):
        shares = any(f"a=mid:{mid}" in section for mid in bundled)
        known = any(line.startswith("a=fingerprint:sha-256 ") for line in section)
        kept += [
            line
            for line in section
            if not (shares and line.startswith(_CANDIDATE))
            and not (known and line.startswith("a=fingerprint:") and not line.startswith("a=fingerprint:sha-256 "))
        ]
    return kept


def _finished_audio(section: list[str], opus: int, red: int | None) -> list[str]:
    described = (f"a=fmtp:{opus} ", f"a=rtpmap:{red} ", f"a=fmtp:{red} ")
    finished: list[str] = []
    for line in section:
        if line.startswith(described):
            continue
        finished.append(line)
        if (match := _OPUS.match(line)) and int(match.group(1)) == opus:
            finished.append(f"a=fmtp:{opus} {OPUS_FMTP}")
            if red is not None:
                finished += [f"a=rtpmap:{red} red/48000/2", f"a=fmtp:{red} {opus}/{opus}"]
    if red is not None:
        others = [name for name in _formats(section) if name != str(red)]
        finished[0] = " ".join((*section[0].split()[:3], str(red), *others))
    return finished


def _first_audio(lines: list[str]) -> tuple[int, list[str]]:
    """Where the first audio section begins, and its lines; none if there is no such section."""
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    for start, end in pairwise(starts):
        if lines[start].startswith("m=audio "):
            return start, lines[start:end]
    return len(lines), []


def _sections(lines: list[str]) -> list[list[str]]:
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")] + [len(lines)]
    return [lines[start:end] for start, end in pairwise(starts)]


def _formats(section: list[str]) -> list[str]:
    return section[0].split()[3:] if section else []


def _opus_in(section: list[str]) -> int | None:
    return next((int(match.group(1)) for line in section if (match := _OPUS.match(line))), None)
