"""The log: one line a record on stderr, from which whatever looks like a secret is gone before it is written."""

import logging
import re
import sys
from collections.abc import Iterable
from typing import Final

from relay.values import Secret

GONE: Final = "***"

_SECRETS: Final = re.compile(
    r"AIza[\w-]+"  # Google's keys
    r"|(?<=Bearer )[^\s\"',;]+"
    r"|(?<=token=)[^\s\"'&,;]+"
    r"|(?<=key=)[^\s\"'&,;]+"
    r"|(?<=x-goog-api-key: )\S+",
    re.IGNORECASE,
)


class Scrubbed(logging.Formatter):
    """Formats the whole record, traceback included, then takes out known secrets and what has their shape."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        super().__init__("%(levelname)s:%(pad)s %(message)s", defaults={"pad": ""})
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        record.pad = " " * (8 - len(record.levelname))
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret.reveal(), GONE)
        return _SECRETS.sub(GONE, text)


def start(level: str, secrets: Iterable[Secret]) -> None:
    """Send every log of this process to stderr, scrubbed; others' libraries speak from WARNING up only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Scrubbed(secrets))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("relay", "signaling"):
        logging.getLogger(ours).setLevel(level.upper())
