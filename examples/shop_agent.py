"""An agent for each call: which shop answers comes with the call. Run it with:

gemini-relay --agent examples/shop_agent.py

An app names the shop in what it sends to /start, or with its offer: {"shop": "watches"}.
"""

import asyncio

from relay.agent import Agent, Refused
from relay.request import CallRequest
from relay.tools import ToolError, tool

SHOPS = {"watches": {"crown": 12, "strap": 30}, "bicycles": {"bell": 9, "saddle": 45}}


def show_price(part: str, euros: int) -> None:
    """Show a price on the caller's screen.

    Args:
        part: the name of the part
        euros: its price
    """  # the app runs it: a function of that name is registered there


@tool(blocking=False, scheduling="WHEN_IDLE", deadline=60)
async def order(part: str) -> str:
    """Order a part. It takes a while; go on talking.

    Args:
        part: the name of the part
    """
    await asyncio.sleep(10)
    return f"The {part} will be here on Monday."


async def agent(call: CallRequest) -> Agent:
    """The agent of one call."""
    shop = call.request_data.get("shop") or call.body.get("shop") or "watches"
    if shop not in SHOPS:
        raise Refused(f"There is no such shop; there are {' and '.join(SHOPS)}.")
    prices = SHOPS[shop]

    def price_of(part: str) -> int:
        """The price of a part in euros.

        Args:
            part: the name of the part
        """
        if part not in prices:
            raise ToolError(f"There are only these parts: {', '.join(prices)}.")
        return prices[part]

    return Agent(
        instructions=f"You sell parts in a shop for {shop}. Speak in one or two short sentences."
        " When you name a price, show it too.",
        tools=[price_of, order],
        client_tools=[show_price],
    )
