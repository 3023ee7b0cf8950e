"""Keys of a telephone, in virtual time."""

from relay.keys import KEYS_SECONDS, MAX_KEYS, Keys


def test_keys_that_follow_each_other_are_told_in_one_line_when_no_other_follows() -> None:
    keys = Keys()
    assert keys.deadline is None
    for number, key in enumerate("12"):
        keys.press(key, number * 0.5)
    assert keys.deadline == 0.5 + KEYS_SECONDS
    assert keys.take() == "The caller pressed 1 2"
    assert keys.deadline is None


def test_the_key_that_ends_a_number_is_not_waited_after() -> None:
    keys = Keys()
    keys.press("12#", 3.0)
    assert keys.deadline == 3.0
    assert keys.take() == "The caller pressed 1 2 #"


def test_more_keys_than_any_number_has_are_not_waited_for() -> None:
    keys = Keys()
    keys.press("1" * MAX_KEYS, 3.0)
    assert keys.deadline == 3.0
