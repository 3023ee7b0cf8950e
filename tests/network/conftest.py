"""What was measured is shown at the end of the run; so is why there were no namespaces, where there were none."""

from collections.abc import Callable
from typing import Final

import pytest

from tests.network.namespace import obstacle

# These need rights that an ordinary user's machine does not give; everything else runs there all the same.
_WANTING: Final = ("wire", "chromium", "return", "lan", "turn", "active", "port", "half_open")
collect_ignore: Final = [f"test_{name}.py" for name in _WANTING] if obstacle() else []


@pytest.fixture
def measured(told: Callable[[str], None]) -> Callable[[str], None]:
    """Takes a line for the end of the run."""
    return told


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if obstacle():
        terminalreporter.section("bad networks")
        terminalreporter.write_line(f"not tested here: a Chromium on a bad network, because {obstacle()}")
