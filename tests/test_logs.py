"""What is written to the log holds no secret, whatever was given to it."""

import logging
import sys

import pytest

from relay.values import Secret
from signaling import logs
from signaling.logs import Scrubbed

KEY = "AIzaSyCANARY-canary_CANARY"
TOKEN = "canary-token-canary"


def formatted(message: str, *arguments: object, error: bool = False) -> str:
    record = logging.LogRecord(
        "relay", logging.INFO, __file__, 1, message, arguments, sys.exc_info() if error else None
    )
    return Scrubbed([Secret(TOKEN)]).format(record)


@pytest.mark.parametrize(
    "text",
    [
        f"{KEY}", f"wss://host/ws?key={KEY}&alt=json", f"key={KEY}", "?key=notgoogles-canary", f"Bearer {TOKEN}",
        "authorization: bearer other-canary", "http://x/#token=other-canary", f"'{TOKEN}'", f"x-goog-api-key: {KEY}",
        f"X-Goog-Api-Key: {TOKEN}",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_gone(text: str) -> None:
    told = formatted("before %s after", text)
    assert "canary" not in told.lower()
    assert logs.GONE in told
    assert told.startswith("INFO:     before ")
    assert told.endswith(" after")


def test_a_traceback_is_scrubbed_too() -> None:
    try:
        raise ValueError(f"refused {KEY} and {TOKEN}")
    except ValueError:
        told = formatted("failed", error=True)
    assert "Traceback" in told
    assert "canary" not in told.lower()


def test_what_is_no_secret_stays() -> None:
    told = formatted("call %s closed %s", "0123abcd", '{"reason": "hung-up", "packets_in": 5}')
    assert told == 'INFO:     call 0123abcd closed {"reason": "hung-up", "packets_in": 5}'


@pytest.fixture
def kept() -> object:
    root, ours = logging.getLogger(), [logging.getLogger(name) for name in ("relay", "signaling")]
    before = (root.level, list(root.handlers), [logger.level for logger in ours])
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for logger, level in zip(ours, before[2], strict=True):
        logger.setLevel(level)


@pytest.mark.usefixtures("kept")
def test_our_own_rooms_speak_at_the_chosen_level_and_others_from_warning_up(capsys: pytest.CaptureFixture[str]) -> None:
    logs.start("debug", [])
    logging.getLogger("relay.session").debug("ours")
    logging.getLogger("aiortc").info("theirs")
    logging.getLogger("aiortc").warning("their warning")
    assert capsys.readouterr().err == "DEBUG:    ours\nWARNING:  their warning\n"
