"""One timer for several rooms: it rings at the first of their deadlines, and is not silently off when a ring fails."""

import asyncio

from relay.alarm import Alarm
from tests import virtual


def test_it_rings_once_at_the_first_deadline_of_what_was_set_last() -> None:
    async def main() -> None:
        loop, rings, errors = asyncio.get_running_loop(), list[float](), list[Exception]()
        began = loop.time()
        alarm = Alarm(lambda: rings.append(loop.time() - began), errors.append)
        alarm.set(began + 5, None, began + 3)
        await asyncio.sleep(1)
        alarm.set(began + 4, began + 2)
        await asyncio.sleep(10)
        alarm.set(began + 12)
        alarm.set(None)
        await asyncio.sleep(10)
        assert (rings, errors) == ([2.0], [])

    virtual.run(main())


def test_a_ring_that_fails_is_told_and_it_can_be_set_again() -> None:
    async def main() -> None:
        loop, errors = asyncio.get_running_loop(), list[Exception]()

        def ring() -> None:
            raise ZeroDivisionError

        alarm = Alarm(ring, errors.append)
        for number in (1, 2):
            alarm.set(loop.time() + 1)
            await asyncio.sleep(2)
            assert [type(error) for error in errors] == [ZeroDivisionError] * number
        alarm.close()

    virtual.run(main())
