"""Bytes as a source of choices: what a fuzzer mutates is what a target does."""


class Reader:
    """Reads numbers from bytes; after their end everything is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """The next bytes, fewer at the end."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def number(self, size: int = 1) -> int:
        """An unsigned number of `size` bytes."""
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big")

    def signed(self, size: int = 1) -> int:
        """The same, with a sign."""
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big", signed=True)
