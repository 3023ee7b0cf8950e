"""The figures of the local voice hide nothing: what is missing, early or wrong is counted, and there is an echo."""

from typing import Final

import numpy as np
import pytest

from bench.asker import AIR, FRAME, Loudspeaker, Told
from bench.local import rows_of
from bench.report import Row
from tests import hearing, noises

NEVER: Final = float("inf")


def told(**more: list[float]) -> Told:
    one = Told([0.55] * 10, [0.7] * 10, [0.2] * 10, [0.4] * 10)
    for name, times in more.items():
        setattr(one, name, times)
    return one


def rows(one: Told, cut: Told | None = None) -> dict[str, Row]:
    return {row.name.removeprefix("local voice: "): row for row in rows_of(one, cut or told(), [told()])}


def test_where_all_is_well_every_figure_is_met() -> None:
    assert all(row.met for row in rows(told()).values())


def test_a_question_without_an_answer_makes_no_figure_better() -> None:
    missed = rows(told(answers=[0.55] * 8 + [NEVER] * 2, captions=[0.7] * 8 + [NEVER] * 2))
    assert missed["questions without an answer"].values == [2.0]
    assert missed["answers that are right"].values == [90.0]
    for name in ("questions without an answer", "the same, p90", "first caption after onset, p90"):
        assert missed[name].met is False


def test_an_answer_that_comes_too_early_is_no_quick_one() -> None:
    assert rows(told(answers=[-0.2] + [0.55] * 9))["answers before the question was over"].met is False


def test_wrong_answers_are_counted_and_shown() -> None:
    one = told()
    one.wrong = ["I heard: Fell."] * 3
    right = rows(one)["answers that are right"]
    assert (right.met, right.values) == (False, [85.0])
    assert "I heard: Fell." in right.note


def test_interruptions_that_nobody_notices_and_those_by_an_echo_are_counted() -> None:
    cut = told(stops=[0.2] * 4 + [NEVER] * 6)
    cut.echoes = 1
    found = rows(told(), cut)
    for name in ("the same: not within two seconds", "answers cut by their own echo"):
        assert found[name].met is False
    assert found["interrupted after onset, echo -45 dBFS, p50"].met is False


@pytest.mark.parametrize("chunk", [960, 1000, 7200])
def test_the_echo_has_its_level_and_ends_with_the_answer(chunk: int) -> None:
    loudspeaker = Loudspeaker()
    said = hearing.at_level(noises.pcm(noises.coloured(1.5, 1, 2.0), -20.0), -16.0)
    loudspeaker.play(said)
    loudspeaker.calibrate(hearing.ECHO_DBFS)
    loudspeaker.stop()
    for at in range(0, len(said), chunk):
        loudspeaker.play(said[at : at + chunk])
    frames = [loudspeaker.frame() for _ in range(AIR + 40)]
    assert not np.any(frames[:AIR])
    pcm = np.rint(np.concatenate(frames[AIR:])).astype("<i2").tobytes()
    assert len(pcm) == 40 * FRAME * 2
    assert hearing.loudness(pcm) == pytest.approx(hearing.ECHO_DBFS, abs=1.0)
    loudspeaker.stop()
    assert not np.any([loudspeaker.frame() for _ in range(2 * AIR)][AIR:])
