"""Minutes of hostile bytes for each target of `tests/fuzz`, in a process of its own that a crash may take along.

`RELAY_SOAK_FUZZ_SECONDS` sets how long for each (default 300). What breaks one is then in `tests/fuzz/corpus/`.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.fuzz.targets import TARGETS

ROOT: Final = Path(__file__).parent.parent.parent
SECONDS: Final = int(os.environ.get("RELAY_SOAK_FUZZ_SECONDS", "300"))
END_SECONDS: Final = 60.0  # to load the corpus, and to finish what runs


@pytest.mark.parametrize("name", TARGETS)
async def test_minutes_of_hostile_bytes_do_no_harm(name: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fuzz", name, str(SECONDS)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS + END_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = output.decode(errors="replace").splitlines()
    print("\n", "\n".join(line for line in told if "stat::number_of_executed" in line or "nothing in" in line))
    assert process.returncode == 0, "\n".join(told[-60:])
