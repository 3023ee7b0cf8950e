"""One target for as long as you like: `python -m tests.fuzz rtp 60` (seconds); ends with 0 if nothing broke.

With atheris (`pip install .[soak]`) it looks for bytes that reach new lines of the relay, and so finds what chance does
not; without, chance has to do. What breaks a target is written to its corpus as `crash-…`: fix it, then give the file a
name that says what it was. What reached new lines is kept in `.fuzz/` for the next run.
"""

import hashlib
import importlib
import importlib.util
import random
import sys
import time
from pathlib import Path
from typing import Any, Final

FOUND: Final = Path(".fuzz")
MAX_BYTES: Final = 2048


def main(name: str, seconds: str) -> None:
    if importlib.util.find_spec("atheris") is not None:
        _guided(name, seconds)
    else:
        _by_chance(name, float(seconds))


def _guided(name: str, seconds: str) -> None:
    """Never returns: atheris ends the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["relay"]):
        targets: Any = importlib.import_module("tests.fuzz.targets")
    found = FOUND / name
    found.mkdir(parents=True, exist_ok=True)
    flags = [
        *(f"-max_total_time={seconds}", f"-max_len={MAX_BYTES}", "-timeout=20", "-rss_limit_mb=2048"),
        *(f"-artifact_prefix={targets.CORPUS / name}/", "-print_final_stats=1"),
    ]
    atheris.Setup([sys.argv[0], *flags, str(found), str(targets.CORPUS / name)], targets.TARGETS[name])
    atheris.Fuzz()


def _by_chance(name: str, seconds: float) -> None:
    from tests.fuzz.chance import any_edits, edited
    from tests.fuzz.targets import CORPUS, TARGETS, corpus

    rng, until, count = random.Random(), time.monotonic() + seconds, 0
    seeds = [path.read_bytes() for path in corpus(name)]
    while time.monotonic() < until:
        data = edited(rng.choice(seeds), any_edits(rng))
        try:
            TARGETS[name](data)
        except BaseException:
            (CORPUS / name / f"crash-{hashlib.sha1(data).hexdigest()}").write_bytes(data)
            raise
        count += 1
    print(f"{name}: nothing in {count} runs")


if __name__ == "__main__":
    main(*sys.argv[1:])
