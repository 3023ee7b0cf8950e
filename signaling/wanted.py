"""`python -m signaling.wanted`: ends with 0 if the relay with these flags would let the local voice speak, else with 1.

`make run` asks this before it installs that voice. What is wrong with the flags the relay itself will say.
"""

import contextlib
import io
import os
import sys
from pathlib import Path

from relay.config import ConfigError, load
from signaling.__main__ import read_env_file


def main() -> int:
    """Reads the settings as the relay does, and says nothing."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            read_env_file(Path(".env"), os.environ)
            config = load(sys.argv[1:], os.environ)
    except (ConfigError, SystemExit):  # --help leaves by the latter
        return 1
    return 0 if config.model == "local" and config.local_voice == "auto" and config.local_weights is None else 1


if __name__ == "__main__":
    sys.exit(main())
