"""What can go wrong, whose fault it is, and what each party is told.

Four families: our own bug, the browser's fault, the model's, the owner's. `FAULTS` is the one table from a
stable code to the HTTP status, the sentence a person reads, and the log level. The sentence names a next
step and never holds foreign text; foreign text goes to `RelayError.detail`, which only the log sees.
"""

import logging
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """How one stable error code is told: `status` is HTTP's, `sentence` is for people, `level` is logging's."""

    status: int
    sentence: str
    level: int = logging.INFO


FAULTS: Final[dict[str, Fault]] = {
    # the browser's fault
    "bad-json": Fault(400, "The request body is not a JSON object."),
    "bad-request": Fault(400, "The request has a missing or malformed field."),
    "bad-content-type": Fault(415, "Send the request as application/json."),
    "body-too-large": Fault(413, "The request body is larger than 64 KiB."),
    "bad-sdp": Fault(400, "The offer is not a session description this relay can read."),
    "sdp-too-large": Fault(413, "The offer has too many lines or media sections."),
    "no-opus": Fault(400, "The offer has no audio section with Opus."),
    "origin-refused": Fault(403, "This page may not use the relay. Its owner can allow it with --allow-origin."),
    "host-refused": Fault(403, "The relay is not known by this host name. Its owner can set --public-url."),
    "token-missing": Fault(401, "An access token is needed. Open the relay's whole address, with #token= at its end."),
    "token-wrong": Fault(403, "The access token is wrong. Open the relay's whole address, with #token= at its end."),
    "unknown-session": Fault(404, "There is no such session. Start a new call."),
    "unknown-peer": Fault(410, "That connection has ended. Start a new call."),
    "not-found": Fault(404, "There is nothing at this address."),
    "method-not-allowed": Fault(405, "This address does not take that method."),
    "bad-http": Fault(400, "The request is not valid HTTP."),
    "request-timeout": Fault(408, "The request took longer than 10 seconds to arrive. Try again."),
    "setting-refused": Fault(400, "The request asks for a setting that only the relay's owner may choose."),
    "no-call-yet": Fault(409, "The session has no call yet. Make the call first, then send the file."),
    "bad-upload": Fault(400, "The upload is malformed. Send one picture in a form field named file."),
    "bad-upload-type": Fault(415, "Send the file as multipart/form-data, in a field named file."),
    "bad-file-type": Fault(415, "Only JPEG, PNG and WebP pictures can be sent."),
    "file-too-large": Fault(413, "The file is larger than 5 MiB. Send a smaller picture."),
    "upload-timeout": Fault(408, "The file took longer than a minute to arrive. Send a smaller one."),
    "too-many-restarts": Fault(410, "The connection was made anew too often. Start a new call."),
    "too-many-starts": Fault(429, "Too many calls were started from this address. Wait a minute and try again."),
    "too-many-calls": Fault(503, "All lines are busy. Try again in a moment.", logging.WARNING),
    "busy": Fault(503, "The relay has its hands full with other calls. Try again in half a minute.", logging.WARNING),
    "too-many-messages": Fault(429, "The call was ended because it sent too many messages. Start a new call."),
    "no-packet": Fault(
        504,
        "No packet of the call reached the relay in 15 seconds. A firewall or VPN may block UDP: try another network, "
        "or ask the relay's owner to open its UDP port or set up TURN.",
        logging.WARNING,
    ),
    "checks-failed": Fault(
        504,
        "Packets reached the relay, but its answers did not come back. A firewall or VPN may block UDP: try another "
        "network, or ask the relay's owner to set up TURN.",
        logging.WARNING,
    ),
    "dtls-failed": Fault(
        504,
        "A path to the relay was found, but its encryption could not be agreed on. Reload the page and try again; "
        "if it keeps happening, something on the way changes packets.",
        logging.WARNING,
    ),
    "connect-timeout": Fault(504, "The call did not connect in 15 seconds. A firewall or VPN may block UDP."),
    "peer-lost": Fault(410, "The connection to the browser was lost."),
    "closing": Fault(503, "The relay is shutting down. Try again in a moment."),
    # the model's fault
    "key-missing": Fault(500, "The relay has no Gemini key. Its owner must set GEMINI_API_KEY.", logging.ERROR),
    "key-refused": Fault(502, "Gemini refused the relay's key. Its owner must check GEMINI_API_KEY.", logging.ERROR),
    "model-not-found": Fault(502, "Gemini does not know the model. Check --gemini-model.", logging.ERROR),
    "setup-refused": Fault(502, "Gemini refused the settings of this call. The relay's log says why.", logging.ERROR),
    "quota": Fault(502, "The Gemini quota is used up. Try again later.", logging.WARNING),
    "model-unreachable": Fault(502, "The model cannot be reached. Check the network and try again.", logging.ERROR),
    "model-timeout": Fault(504, "The model did not answer in 10 seconds. Try again.", logging.WARNING),
    "model-lost": Fault(502, "The connection to the model was lost. Start a new call.", logging.WARNING),
    # the owner's limits
    "idle": Fault(410, "Nobody has spoken for a while, so the call was ended. Start a new call."),
    "call-limit": Fault(410, "The call has lasted as long as one may here. Start a new call."),
    "budget-call": Fault(410, "The call has cost as much as one may here. Start a new call."),
    "budget-day": Fault(503, "What this relay may spend in a day is spent. Try again tomorrow.", logging.WARNING),
    # the owner's agent file
    "agent-refused": Fault(403, "The relay's agent does not take this call. Ask its owner what it takes."),
    "agent-failed": Fault(500, "The relay's agent failed. Try again; its owner finds why in the log.", logging.ERROR),
    # our own
    "internal": Fault(500, "The relay made a mistake. Try again; its log says more.", logging.ERROR),
}


class RelayError(Exception):
    """A fault with a stable `code` from `FAULTS`.

    `detail` is for the log alone and holds no secret. `hint` is shown to the caller beside the sentence, so it
    is made of our own words, or of the owner's, only (the name of a field, say). `retry_after` is in whole seconds,
    0 for none.
    """

    def __init__(self, code: str, detail: str = "", *, hint: str = "", retry_after: int = 0) -> None:
        self.code = code
        self.fault = FAULTS[code]
        self.detail = detail
        self.hint = hint
        self.retry_after = retry_after
        super().__init__(f"{code}: {detail}" if detail else code)

    def told(self) -> dict[str, str]:
        """The body of every HTTP error: JS shows `info`, others `detail`; nothing foreign is in either."""
        info = f"{self.fault.sentence} {self.hint}".strip()
        return {"code": self.code, "info": info, "detail": self.hint or self.fault.sentence}


class OurBug(RelayError):
    """The relay broke its own rules."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("internal", detail)


class BrowserFault(RelayError):
    """The browser, or whoever speaks in its place, sent what cannot be served."""


class ModelFault(RelayError):
    """The model side refused, failed, or went away."""


class OwnerFault(RelayError):
    """What the relay's owner wrote failed."""


def place(error: BaseException) -> str:
    """File and line of the innermost frame of what first went wrong: for the log, which must not have its words."""
    while error.__cause__ is not None:
        error = error.__cause__
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "?"
