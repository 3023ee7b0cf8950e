"""How long a person waits for a connection: from the button to a bot that is ready, on loopback in Chromium."""

import statistics
from typing import Final

from tests.clients.conftest import Streets

CONNECTS: Final = 20
PROMISED_MS: Final = 300  # the median

CONNECT: Final = """async (client) => {
  await client.initDevices();
  const began = performance.now();
  await client.startBotAndConnect({endpoint: '/start', requestData: {}});
  const ready = performance.now() - began;
  await client.disconnect();
  return ready;
}"""


async def test_half_of_all_connects_are_ready_in_a_third_of_a_second(streets: Streets) -> None:
    async with streets(media="own") as street:
        taken = [await street.app.run(CONNECT) for _ in range(CONNECTS)]
    median = statistics.median(taken)
    print(f"start to bot-ready, of {CONNECTS}: median {median:.0f} ms, {min(taken):.0f} to {max(taken):.0f} ms")
    assert median <= PROMISED_MS
