"""Which function of the agent's a line plainly asks for, and what it is to be given. Pure.

Plainly is: it is a request, every word of the function's name is in it, and every argument that the function cannot
do without can be read from it or asked for. What is not plain is not called: a function may do something.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.standin import wire
from relay.standin.wits import numbers
from relay.standin.wits.answer import Wanted
from relay.standin.wits.line import Line

MAX_TOOLS: Final = 128  # declarations looked at
MAX_ARGUMENTS: Final = 12  # of one function
MAX_WORDS: Final = 40  # of a line that can be a plain request
MAX_REPLY: Final = 8  # words of an answer to the question for an argument
MAX_VALUE: Final = 200  # letters of one argument

Declaration = Mapping[str, Any]

_LITERAL: Final = re.compile(r"call ([A-Za-z_][A-Za-z0-9_.:-]*)\s*(\{.*\})?", re.IGNORECASE | re.DOTALL)
_HOLLOW: Final = frozenset(
    {"get", "fetch", "read", "lookup", "look", "up", "find", "query", "check", "retrieve", "current", "my", "the", "a"}
    | {"do", "run", "info", "information", "data", "tool", "function", "make", "tell", "give", "is", "handle", "what"}
)
_PREPOSITIONS: Final = frozenset(
    {"in", "for", "of", "at", "about", "to", "from", "on", "with", "named", "called", "by"}
)
_ARTICLES: Final = frozenset({"a", "an", "the", "some", "my", "me", "us", "one", "any", "our"})
_WHENS: Final = frozenset({"today", "tomorrow", "now", "tonight", "yesterday"})
_QUESTION: Final = re.compile(r"(?:what|how|which|who|where|when|is|are|do|does|did|has|have|will)\b")
_STATEMENT: Final = re.compile(
    r"(?:i (?!want|would|need|will have|will take)|he|she|it(?! is)|we|they|you|there|this|that)\b"
    r"|(?:the|a|an|my|his|her|our|your|their)\b.* (?:is|was|are|were|has|had)\b"
    r"|.*\b(?:do not|never|not|without)\b"
)
_COUNTS: Final = frozenset({"count", "number", "n", "amount", "quantity", "times", "how_many", "howmany", "num"})
_FREE: Final = frozenset({"query", "text", "message", "question", "prompt", "q", "search", "note", "content", "what"})
_SWITCH: Final = {"on": True, "off": False, "yes": True, "no": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Found:
    """A call, and the argument that is still `missing` before it can be made ("" when none is)."""

    call: Wanted
    missing: str = ""


def literal(text: str, tools: Sequence[Declaration]) -> Wanted | None:
    """`call roll_dice {"count": 2}`, as one may write it."""
    match = _LITERAL.fullmatch(text[:4000].strip())
    if match is None or match[1] not in {_name(tool) for tool in tools[:MAX_TOOLS]}:
        return None
    try:
        arguments = json.loads(match[2] or "{}")
    except (ValueError, RecursionError):
        return None
    return None if wire.too_deep(arguments) else Wanted(match[1], arguments)


def find(line: Line, tools: Sequence[Declaration]) -> Found | None:
    """The function that `line`, a request, asks for; of several one with all arguments, and of those the best named."""
    if not 0 < len(line.words) <= MAX_WORDS or _STATEMENT.match(line.plain) or "{" in line.text:
        return None
    best: tuple[tuple[bool, int], Found] | None = None
    for tool in tools[:MAX_TOOLS]:
        wanted = _named(tool)
        at = _mentioned(wanted, line)
        if at is None or (found := _filled(line, tool, at)) is None or (found.missing and not _wants(line, wanted)):
            continue
        rank = (not found.missing, len(wanted))
        if best is None or rank > best[0]:
            best = rank, found
    return best and best[1]


def _wants(line: Line, named: list[str]) -> bool:
    """Whether a line wants something: it asks, or begins with what is to be done."""
    first = line.words[0]
    return line.asks or bool(_QUESTION.match(line.plain)) or first == "i" or _stem(first) in map(_stem, named)


def complete(call: Wanted, missing: str, line: Line, tools: Sequence[Declaration]) -> Found | None:
    """`call` with the answer to the question for what was missing; None when the line holds no such thing."""
    if len(line.words) > MAX_REPLY or line.asks or _QUESTION.match(line.plain) or _STATEMENT.match(line.plain):
        return None
    for tool in tools[:MAX_TOOLS]:
        if _name(tool) == call.name:
            schema = dict(_properties(tool)).get(missing, {})
            value = _one(schema, line, _bare(line, 0, len(line.words)))
            if value is None:
                return None
            args = {**call.args, missing: value}
            left = [name for name in _required(tool) if name not in args]
            return Found(Wanted(call.name, args), left[0] if left else "")
    return None


def wanting(missing: str) -> str:
    """The question for an argument."""
    return f"What should the {' '.join(_split(missing)) or missing} be?"


# --- declarations, which anybody may have written ----------------------------------------------------------------


def _name(tool: Declaration) -> str:
    name = tool.get("name", "")
    return name if isinstance(name, str) else ""


def _schema(tool: Declaration) -> Mapping[str, Any]:
    for key in ("parameters", "parametersJsonSchema", "parameters_json_schema"):
        if isinstance(schema := tool.get(key), Mapping):
            return schema
    return {}


def _properties(tool: Declaration) -> Iterator[tuple[str, Mapping[str, Any]]]:
    properties = _schema(tool).get("properties")
    if isinstance(properties, Mapping):
        for name, schema in list(properties.items())[:MAX_ARGUMENTS]:
            yield str(name), schema if isinstance(schema, Mapping) else {}


def _required(tool: Declaration) -> list[str]:
    required = _schema(tool).get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []


def _split(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[A-Za-z]+|\d+", spaced)]


def _named(tool: Declaration) -> list[str]:
    """The words of its name that say something."""
    words = _split(_name(tool))
    return [w for w in words if w not in _HOLLOW and w not in _PREPOSITIONS] or words


def _stem(word: str) -> str:
    return {"die": "dice"}.get(word, word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word)


def _mentioned(wanted: list[str], line: Line) -> int | None:
    """The word after the last of those that name the function, or None when one of them is not there."""
    stems = [_stem(word) for word in line.words]
    if not wanted or any(_stem(word) not in stems for word in wanted):
        return None
    return 1 + max(stems.index(_stem(word)) for word in wanted)


# --- arguments ---------------------------------------------------------------------------------------------------


def _filled(line: Line, tool: Declaration, at: int) -> Found | None:
    """The call with every argument that the line gives. None when it wants one that no line can give."""
    properties = dict(_properties(tool))
    required = _required(tool)
    args: dict[str, Any] = {}
    taken: set[int] = set()  # numbers, by their first word
    for name in sorted(properties, key=lambda name: name not in required):
        value = _value(name, properties[name], line, tool, at, taken, name in required)
        if value is not None:
            args[name] = value
    missing = [name for name in required if name not in args]
    if any(_kind(properties.get(name, {})) not in ("string", "integer", "number", "boolean") for name in missing):
        return None
    return Found(Wanted(_name(tool), {name: args[name] for name in properties if name in args}), (missing or [""])[0])


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "string")
    return str(kind).lower()


def _value(
    name: str, schema: Mapping[str, Any], line: Line, tool: Declaration, at: int, taken: set[int], needed: bool
) -> Any:
    kind = _kind(schema)
    if options := _options(schema):
        return _option(options, line)
    if kind == "boolean":
        return next((_SWITCH[word] for word in line.words if word in _SWITCH), None)
    if kind in ("integer", "number"):
        return _number(name, kind, line, taken, needed)
    if kind == "string":
        return _text(name, line, tool, at, needed)
    return None


def _options(schema: Mapping[str, Any]) -> list[Any]:
    options = schema.get("enum")
    return options[:100] if isinstance(options, list) else []


def _option(options: list[Any], line: Line) -> Any:
    plain = f" {line.plain} "
    return next((o for o in options if isinstance(o, str) and f" {' '.join(_split(o))} " in plain), None)


def _number(name: str, kind: str, line: Line, taken: set[int], needed: bool) -> int | float | None:
    """The number beside the argument's name, or else, of a count or what must be there, the first that is free."""
    words = {_stem(word) for word in _split(name)}
    free = [(start, end, value) for start, end, value in numbers.every(line.words) if start not in taken]
    beside = [
        (start, value)
        for start, end, value in free
        if any(_stem(line.words[n]) in words for n in (start - 1, end) if 0 <= n < len(line.words))
    ]
    found = beside or [(start, value) for start, _, value in free if needed or name.lower() in _COUNTS]
    if not found or (kind == "integer" and found[0][1].denominator != 1):
        return None
    taken.add(found[0][0])
    return int(found[0][1]) if found[0][1].denominator == 1 else float(found[0][1])


def _text(name: str, line: Line, tool: Declaration, at: int, needed: bool) -> str | None:
    """What stands after the argument's name, after the function's words, or after a preposition."""
    named = _split(name)
    for n in range(len(line.words) - len(named)):
        if list(line.words[n : n + len(named)]) == named and n + len(named) >= at and named != _split(_name(tool)):
            return _bare(line, n + len(named), len(line.words) if name in _FREE else None)
    last = (_split(_name(tool)) or [""])[-1]
    if last in _PREPOSITIONS:
        return _after({last}, line, at) if needed else None
    if name.lower() in _FREE:
        return _bare(line, at, len(line.words))
    if not needed and at < len(line.words) and line.words[at] not in _PREPOSITIONS:
        return None
    asked = bool(_QUESTION.match(line.plain)) or at >= len(line.words) or line.words[at] in _PREPOSITIONS
    if not asked and (value := _bare(line, at)):
        return value
    return _after(_PREPOSITIONS, line, at)


def _after(prepositions: "set[str] | frozenset[str]", line: Line, at: int) -> str | None:
    for n in range(at, len(line.words) - 1):
        if line.words[n] in prepositions and line.words[n + 1] not in _WHENS:
            return _bare(line, n + 1)
    return None


def _bare(line: Line, start: int, end: int | None = None) -> str | None:
    """Words from `start`, without an article before and, unless `end` is given, until the next preposition."""
    words = line.words
    while start < len(words) and (words[start] in _ARTICLES or words[start] in ("is", "it", "i", *_PREPOSITIONS)):
        start += 1
    if end is None:
        end = next(
            (n for n in range(start + 1, len(words)) if words[n] in _PREPOSITIONS or words[n] == "and"), len(words)
        )
        while end > start + 1 and words[end - 1] in _WHENS:
            end -= 1
    return line.written(start, end).strip(" ,:;\"'")[:MAX_VALUE] or None


def _one(schema: Mapping[str, Any], line: Line, text: str | None) -> Any:
    """A whole line as one value."""
    kind = _kind(schema)
    if options := _options(schema):
        return _option(options, line)
    if kind == "boolean":
        return next((_SWITCH[word] for word in line.words if word in _SWITCH), None)
    if kind in ("integer", "number"):
        return _number("", kind, line, set(), True)
    return text
