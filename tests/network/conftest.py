"""What was measured is shown at the end of the run; so is why there were no namespaces, where there were none."""

from collections.abc import Callable
from typing import Final

import pytest

from tests.network.namespace import obstacle

_lines: Final[list[str]] = []

# These need rights that an ordinary user's machine does not give; everything else runs there all the same.
_WANTING: Final = ("wire", "chromium", "return", "lan", "turn", "port", "half_open")
collect_ignore: Final = [f"test_{name}.py" for name in _WANTING] if obstacle() else []


@pytest.fixture
def measured() -> Callable[[str], None]:
    """Takes a line for the end of the run."""
    return _lines.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = [*_lines, *([f"not tested here: a Chromium on a bad network, because {obstacle()}"] if obstacle() else [])]
    if lines:
        terminalreporter.section("bad networks")
        for line in lines:
            terminalreporter.write_line(line)
