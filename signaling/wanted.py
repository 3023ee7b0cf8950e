"""`python -m signaling.wanted`: what the relay with these flags wants of the local voice, as a stamp of the Makefile's.

`.local` for all of it, `.voice` where the owner has models of his own and only the packages are wanted, nothing where
it would not speak. `make run` asks this before it installs that voice. What is wrong with the flags the relay itself
will say.
"""

import contextlib
import io
import os
import sys
from pathlib import Path

from relay.config import ConfigError, load
from signaling.__main__ import read_env_file


def main() -> int:
    """Reads the settings as the relay does, and prints one stamp or none."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            read_env_file(Path(".env"), os.environ)
            config = load(sys.argv[1:], os.environ)
    except (ConfigError, SystemExit):  # --help leaves by the latter
        return 0
    if config.model == "local" and config.local_voice == "auto":
        print(".local" if config.local_weights is None else ".voice")
    return 0


if __name__ == "__main__":
    sys.exit(main())
