"""An agent of your own. Run it with:  gemini-relay --agent examples/my_agent.py"""

import random
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from relay.agent import Agent
from relay.tools import ToolError


def time_in(zone: str) -> str:
    """The date and time of day in a time zone.

    Args:
        zone: the zone's IANA name, such as Europe/Oslo
    """
    try:
        here = datetime.now(UTC).astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise ToolError("There is no such time zone; use a name such as Europe/Oslo.") from None
    return here.strftime("%A, %d %B %Y, %H:%M")


async def roll_dice(sides: int = 6, count: int = 1) -> list[int]:
    """Roll up to ten dice.

    Args:
        sides: how many sides each die has, 2 to 100
        count: how many dice
    """
    if not (2 <= sides <= 100 and 1 <= count <= 10):
        raise ToolError("Up to ten dice with 2 to 100 sides, please.")
    return [random.randint(1, sides) for _ in range(count)]


agent = Agent(
    instructions="You keep people company on the phone. You know what time it is anywhere, and you love games of dice."
    " Speak in one to three short sentences; every word is spoken aloud.",
    voice="Aoede",
    greeting="Say hello, briefly, and offer a game of dice.",
    tools=[time_in, roll_dice],
)
