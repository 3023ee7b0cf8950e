"""`python -m signaling.pulse`: is the relay well that runs beside this, in the same container? The exit code says so.

It knows the relay by RELAY_HOST and RELAY_PORT alone, and imports nothing heavy: it is asked every half minute.
"""

import os
import ssl
import sys
from collections.abc import Mapping
from typing import Final
from urllib.error import URLError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

ASK_SECONDS: Final = 3.0


def address(environ: Mapping[str, str]) -> str:
    """Where it is asked. What listens everywhere answers to that address, too."""
    host = environ.get("RELAY_HOST", "").strip() or "127.0.0.1"
    port = environ.get("RELAY_PORT", "").strip() or "7860"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/healthz"


def main() -> int:
    """0 if it is well; with HTTPS the plain port leads there, to a certificate that nobody here need vouch for."""
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    straight = build_opener(ProxyHandler({}), HTTPSHandler(context=unverified))
    try:
        with straight.open(address(os.environ), timeout=ASK_SECONDS):
            return 0
    except URLError as exc:  # an answer that says no is one, too
        print(exc.reason, file=sys.stderr)
    except OSError as exc:
        print(exc, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
