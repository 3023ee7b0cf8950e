"""Keys of a telephone, one by one or several at once, become one line for the model. Pure: `now` is given."""

from typing import Final

# Between two keys of one number; who waits longer waits for an answer.
KEYS_SECONDS: Final = 1.5
# The key that ends a number on every telephone menu: nobody waits after it.
END: Final = "#"
# Longer than any number that people key in; the line goes out at this length.
MAX_KEYS: Final = 32


class Keys:
    """The keys that were pressed and not yet told."""

    def __init__(self) -> None:
        self._pressed = ""
        self._due = 0.0

    def press(self, keys: str, now: float) -> None:
        """These keys were pressed, in order."""
        self._pressed += keys
        ended = keys.endswith(END) or len(self._pressed) >= MAX_KEYS
        self._due = now if ended else now + KEYS_SECONDS

    @property
    def deadline(self) -> float | None:
        """When they are to be told; call `take` then."""
        return self._due if self._pressed else None

    def take(self) -> str:
        """What the model is told of them."""
        pressed, self._pressed = self._pressed, ""
        return f"The caller pressed {' '.join(pressed)}"
