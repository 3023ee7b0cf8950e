"""How deep JSON is nested: what is much deeper than any honest message can be read, and not be written again. Pure."""

from typing import Any


def nests_deeper(body: Any, levels: int) -> bool:
    """Whether parsed JSON has objects and arrays within each other for more than so many levels."""
    level: list[Any] = [body] if isinstance(body, dict | list) else []
    for _ in range(levels):
        values = (inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer))
        level = [inner for inner in values if isinstance(inner, dict | list)]
        if not level:
            return False
    return bool(level)
