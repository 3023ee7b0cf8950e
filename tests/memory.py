"""What a history would say, as a list that a test fills."""

from collections.abc import Sequence


class Memory:
    """Turns of (role, text); a mark is where one stands in the list."""

    def __init__(self, turns: Sequence[tuple[str, str]] = ()) -> None:
        self.turns: list[tuple[str, str]] = list(turns)

    @property
    def mark(self) -> int:
        return len(self.turns)

    def since(self, mark: int, until: int | None = None) -> list[tuple[str, str]]:
        return self.turns[mark:until]

    def lately(self) -> int:
        return 0
