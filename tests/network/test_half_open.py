"""A dead path to the model is noticed by what is not acknowledged, and the question is asked again."""

from collections.abc import Callable
from typing import Final

from tests.network.half_open import half_open

UNACKNOWLEDGED_MS: Final = 2_000  # the relay waits four times as long; so does `make soak`
MARGIN_SECONDS: Final = 1.5  # the kernel looks when it repeats a packet
BACK_SECONDS: Final = 2.0  # the first packet of the next connection, sent in the dark, is repeated after a second


async def test_a_path_to_the_model_that_goes_dark_in_mid_question_is_noticed_in_time_and_the_question_kept(
    measured: Callable[[str], None],
) -> None:
    [noticed] = await half_open(unacknowledged_ms=UNACKNOWLEDGED_MS)
    measured(
        f"where {UNACKNOWLEDGED_MS / 1000:g} s may go unacknowledged, a dead path to the model is noticed after "
        f"{1000 * noticed.after:.0f} ms; in the light the question is asked again after {1000 * noticed.back:.0f}"
    )
    assert noticed.after < UNACKNOWLEDGED_MS / 1000 + MARGIN_SECONDS + noticed.stalled
    assert noticed.back < BACK_SECONDS + noticed.stalled
