"""Everything that reads foreign bytes on the sound's path does no harm: the corpus, and a little chance around it."""

from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.chance import KINDS, edited
from tests.fuzz.targets import TARGETS, corpus

# Whoever has longer runs `make soak`. The slower ones need a loop each, or many packets.
EXAMPLES: Final = {"call": 100, "exchange": 100, "rtcp": 100, "gate": 100, "opus": 150}
USUAL_EXAMPLES: Final = 300

EDITS: Final = st.tuples(st.sampled_from(KINDS), st.integers(0, 400), st.binary(min_size=1, max_size=8))


@pytest.mark.parametrize(
    ("name", "path"), [pytest.param(name, path, id=f"{name}: {path.stem}") for name in TARGETS for path in corpus(name)]
)
def test_what_once_broke_something_breaks_nothing(name: str, path: Path) -> None:
    TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_no_bytes_do_any_harm(name: str) -> None:
    seeds = st.sampled_from([path.read_bytes() for path in corpus(name)])

    @settings(max_examples=EXAMPLES.get(name, USUAL_EXAMPLES), deadline=None, database=None, derandomize=True)
    @given(st.one_of(st.binary(max_size=200), st.builds(edited, seeds, st.lists(EDITS, max_size=6))))
    def none_does(data: bytes) -> None:
        TARGETS[name](data)

    none_does()
