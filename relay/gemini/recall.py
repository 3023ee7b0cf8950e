"""What a connection to the model is told of what was said on the ones before it. Pure.

All of it are our own words, around what was said and heard; the model reads them, nobody hears them.
"""

import json
from collections.abc import Iterable
from typing import Final

from relay.gemini import protocol
from relay.gemini.checkpoint import Turns
from relay.gemini.events import FunctionCall
from relay.gemini.protocol import Answer, Kind, Message

MAX_RESULT: Final = 20_000  # characters of a function's result that are told in words

GO_ON: Final = (
    "(The line was cut for a moment while you were speaking; the user heard no more than what is written above. Go on"
    " from there, in the same language, as if nothing had happened: no greeting, no apology, nothing said twice.)"
)
REPLY: Final = (
    "(The line was cut for a moment before the user heard your answer. Give it now, in the same language, as if nothing"
    " had happened: no greeting, no apology.)"
)
CALLED: Final = "(You have called these functions; do not call them again, their results will be told to you: %s)"
CALLED_OFF: Final = "(The user has called off these functions, no results will come of them: %s)"
RETURNED: Final = (
    "(The function %s, which you called before the line was cut for a moment, returned: %s\nGo on with that, in the"
    " same language, as if nothing had happened, and do not call it again.)"
)


def is_strict(model: str) -> bool:
    """Whether it takes content at the very beginning alone, and if its setup says that there will be some."""
    return "3.1" in model


def tell(model: str, turns: Turns, calls: Iterable[FunctionCall] = (), *, seeds: bool = False) -> list[Message]:
    """These turns of (role, text) are part of the conversation, and the results of these calls will be `returned`.

    Asks for no answer. A strict model is told if its setup said that it would be (`seeds`), and then must be; it waits
    for this content to be complete.
    """
    called = _listed(calls)
    parts = [turns, [("user", CALLED % called)] if called else []]
    if is_strict(model):
        return [protocol.content_message([turn for part in parts for turn in part], True)] if seeds else []
    return [protocol.content_message(part, False) for part in parts if part]


def called_off(calls: Iterable[FunctionCall]) -> Message:
    """These were said to have been called, and nothing will be `returned` of them."""
    return protocol.content_message([("user", CALLED_OFF % _listed(calls))], False)


def _listed(calls: Iterable[FunctionCall]) -> str:
    return ", ".join(f"{call.name}({json.dumps(dict(call.args), ensure_ascii=False)})" for call in calls)


def takes(model: str, message: Message) -> bool:
    """Whether it can be told that in the middle of a conversation."""
    return message.kind is not Kind.NOTED or not is_strict(model)


def go_on(model: str, turns: Turns, *, heard: bool) -> Message:
    """Asks for the rest of an answer of which something was `heard` or, if not, for the answer."""
    instruction = GO_ON if heard else REPLY
    if turns and is_strict(model):
        said = "\n".join(f"{'You' if role == 'model' else 'User'}: {text}" for role, text in turns)
        instruction = f"{said}\n{instruction}"
    return protocol.greeting_message(model, instruction)


def returned(model: str, answer: Answer) -> Message:
    """What a function returned, for another connection than the one that called it."""
    text = RETURNED % (answer.name, json.dumps(dict(answer.response), ensure_ascii=False)[:MAX_RESULT])
    if answer.scheduling == "SILENT" and not is_strict(model):
        return protocol.content_message([("user", text)], False)
    return protocol.greeting_message(model, text)
