"""A relay with twenty calls is told to stop. A quarter of a minute, and a whole core for the callers."""

from pathlib import Path

from tests.test_leave import leave_with


async def test_twenty_calls_lose_no_word_before_the_limit(tmp_path: Path) -> None:
    await leave_with(20, tmp_path)
