"""Screen an offer before aiortc sees it, and finish the answer before the browser sees it (RFC 8866, RFC 8829).

Screening is linear in the size of the text and knows nothing of WebRTC's state: too much is refused, what
could aim our packets at a third party is taken out, and an offer that cannot become a call is told so.
"""

import re
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

_CANDIDATE: Final = ("a=candidate:", "a=end-of-candidates", "a=remote-candidates:")
_OPUS: Final = re.compile(r"a=rtpmap:(\d{1,3}) opus/48000(?:/2)?\s*$", re.IGNORECASE)


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


def opus_payload_type(text: str) -> int | None:
    """The payload type of Opus in the first audio section, or None."""
    in_audio = False
    for line in text.splitlines():
        if line.startswith("m="):
            if in_audio:
                return None
            in_audio = line.startswith("m=audio ")
        elif in_audio and (match := _OPUS.match(line)):
            return int(match.group(1))
    return None


def finish(answer: str) -> str:
    """Say in the answer what aiortc does not know: how we want Opus (RFC 7587 §6.1), and how long a message may be.

    A client that knows the limit (RFC 8841 §6) refuses a longer message itself, instead of waiting for an answer.
    """
    payload_type = opus_payload_type(answer)
    finished: list[str] = []
    for line in answer.splitlines():
        if line.startswith(f"a=fmtp:{payload_type} "):
            continue
        if line.startswith("a=max-message-size:"):
            line = f"a=max-message-size:{MAX_MESSAGE}"
        finished.append(line)
        if (match := _OPUS.match(line)) and int(match.group(1)) == payload_type:
            finished.append(f"a=fmtp:{payload_type} {OPUS_FMTP}")
    return "\r\n".join(finished) + "\r\n"
