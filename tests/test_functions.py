"""The model's calls of functions, in virtual time: each id is answered once, and a cancelled one never."""

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import pytest

from relay import reading, said
from relay.functions import (
    LONG_ARGUMENTS,
    MAX_ARGUMENTS,
    MAX_OPEN,
    MAX_PAST,
    NO_CLIENT,
    OLD_LIBRARIES,
    STOP_SECONDS,
    FunctionCalls,
)
from relay.gemini.events import FunctionCall
from relay.gemini.protocol import Answer
from relay.rtvi import Message, encode
from relay.tools import CALL_DEADLINE, CROWDED, FAILED, MAX_RESULT, TOO_LONG, Tools, tool
from tests import virtual

JS: Final = "@pipecat-ai/client-js"


def show(place: str) -> None:
    """Show a place on the map."""
    raise AssertionError("it is the client's to run")


async def double(number: int) -> int:
    """Twice the number, after a second."""
    await asyncio.sleep(1)
    return 2 * number


class Line:
    """Calls between a model and a client that both note what they are told."""

    def __init__(self, group: asyncio.TaskGroup, tools: Tools) -> None:
        self.told: list[dict[str, Any]] = []
        self.to: list[int] = []  # the connections that asked
        self.generation = 1  # on which the model asks
        self.said: list[Message] = []
        self.ignored: list[tuple[int, FunctionCall]] = []
        self.settled = 0
        self.calls = FunctionCalls(tools, self._say, lambda: group, answered=self._settle)
        self.calls.connect(self)
        self.calls.library = JS

    def answer(self, message: Answer, connection: int) -> None:
        self.told += json.loads(message.data)["toolResponse"]["functionResponses"]
        self.to.append(connection)

    def call_off(self, calls: Sequence[tuple[int, FunctionCall]]) -> None:
        assert calls, "where there are none nobody is told"
        self.ignored += calls

    def _settle(self) -> None:
        self.settled += 1
        assert self.settled == len(self.to), "after the model was told"

    def _say(self, messages: Sequence[Message]) -> None:
        assert all(map(encode, messages))
        self.said += messages

    def begin(self, name: str, id: str = "1", on: int | None = None, **args: Any) -> None:
        self.generation = on or self.generation
        self.calls.begin([FunctionCall(id, name, args)])

    def result(self, result: Any = "ok", id: str = "1", name: str = "show") -> None:
        self.calls.result(said.FunctionCallResult("m", name, id, result))

    @property
    def answers(self) -> dict[str, Any]:
        """What the model was told, by id; an id that was answered twice fails."""
        ids = Counter(answer.get("id", "") for answer in self.told)
        assert not [id for id, count in ids.items() if count > 1], "answered twice"
        return {answer.get("id", ""): answer["response"] for answer in self.told}

    @property
    def types(self) -> list[str]:
        return [message["type"].removeprefix("llm-function-") for message in self.said]


Play = Callable[..., None]


@pytest.fixture
def play() -> Play:
    """Run a test in virtual time, with these tools of ours and the client's; nothing may be left running."""

    def play(main: Callable[[Line], Awaitable[None]], *functions: Any, client: Sequence[Any] = (show,)) -> None:
        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                line = Line(group, Tools(functions, client))
                await main(line)
                line.calls.close()
            assert len(asyncio.all_tasks()) == 1

        virtual.run(run())

    return play


# -- ours -----------------------------------------------------------------------------------------------------


def test_a_function_of_ours_is_run_and_its_name_kept_from_the_client(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("double", number=21)
        await asyncio.sleep(2)
        assert line.told == [{"id": "1", "name": "double", "response": {"output": 42}}]
        assert line.types == ["call-started", "call-in-progress", "call-stopped"]
        assert "double" not in str(line.said)
        assert line.said[-1]["data"] == {"tool_call_id": "1", "cancelled": False}

    play(main, double)


def test_calls_of_one_message_run_side_by_side_and_each_is_answered(play: Play) -> None:
    async def main(line: Line) -> None:
        line.calls.begin([FunctionCall(str(n), "double", {"number": n}) for n in range(5)])
        await asyncio.sleep(1.1)
        assert line.answers == {str(n): {"output": 2 * n} for n in range(5)}

    play(main, double)


def test_a_function_that_nobody_has_is_answered(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("nothing")
        await asyncio.sleep(0.1)
        assert line.answers == {"1": {"error": "There is no such function."}}

    play(main)


def test_one_that_raises_hangs_or_gives_too_much_hurts_only_its_own_answer(play: Play) -> None:
    async def fail() -> None:
        """Fail."""
        raise ValueError

    async def much() -> str:
        """Give 10 MB."""
        return "x" * 10_000_000

    async def hang() -> None:
        """Never return."""
        await asyncio.Event().wait()

    async def main(line: Line) -> None:
        names = ["fail", "much", "hang", "double"]
        line.calls.begin([FunctionCall(name, name, {"number": 1} if name == "double" else {}) for name in names])
        await asyncio.sleep(1.1)
        assert line.answers == {"fail": FAILED, "much": TOO_LONG, "double": {"output": 2}}
        await asyncio.sleep(CALL_DEADLINE)
        assert line.answers["hang"] == {"error": "The function did not answer in 20 seconds."}
        assert line.types.count("call-stopped") == len(names)

    play(main, fail, much, hang, double)


def test_one_that_takes_no_notice_of_its_deadline_is_answered_for(play: Play) -> None:
    async def stubborn() -> str:
        """Go on."""
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(100)
        return "at last"

    async def main(line: Line) -> None:
        line.begin("stubborn")
        await asyncio.sleep(CALL_DEADLINE + STOP_SECONDS + 0.1)
        assert "did not answer" in line.answers["1"]["error"]
        await asyncio.sleep(300)
        assert len(line.answers) == 1

    play(main, stubborn)


def test_one_that_cancels_itself_is_answered(play: Play) -> None:
    async def leave() -> None:
        """Be cancelled by what it waits for."""
        raise asyncio.CancelledError

    async def main(line: Line) -> None:
        line.begin("leave")
        await asyncio.sleep(0.1)
        assert line.answers == {"1": FAILED}

    play(main, leave)


def test_the_answer_says_when_it_is_to_be_heard_of_where_the_tool_does(play: Play) -> None:
    async def main(line: Line) -> None:
        line.calls.begin([FunctionCall("1", "double", {"number": 1}), FunctionCall("2", "show", {})])
        line.result(id="2")
        await asyncio.sleep(2)
        assert {answer["id"]: answer.get("scheduling") for answer in line.told} == {"1": "SILENT", "2": "INTERRUPT"}

    play(
        main,
        tool(double, blocking=False, scheduling="SILENT"),
        client=[tool(show, blocking=False, scheduling="INTERRUPT")],
    )


def test_no_more_than_so_many_are_open_and_the_others_are_answered_at_once(play: Play) -> None:
    async def main(line: Line) -> None:
        line.calls.begin([FunctionCall(str(n), "show", {}) for n in range(MAX_OPEN + 3)])
        assert list(line.answers.values()) == [CROWDED] * 3
        assert line.types.count("call-in-progress") == MAX_OPEN

    play(main)


def test_calls_without_an_id_are_answered_without_one(play: Play) -> None:
    async def main(line: Line) -> None:
        line.calls.begin([FunctionCall("", "double", {"number": n}) for n in range(2)])
        await asyncio.sleep(2)
        assert [answer["response"] for answer in line.told] == [{"output": 0}, {"output": 2}]
        assert "id" not in line.told[0]
        assert len({message["data"].get("tool_call_id") for message in line.said} - {None}) == 2

    play(main, double)


# -- cancelled, doubled, late ---------------------------------------------------------------------------------


def test_a_cancelled_call_is_stopped_and_never_answered(play: Play) -> None:
    stopped: list[str] = []

    async def wait() -> None:
        """Wait."""
        try:
            await asyncio.sleep(10)
        finally:
            stopped.append("wait")

    async def main(line: Line) -> None:
        line.begin("wait", "1")
        line.begin("show", "2")
        await asyncio.sleep(0.1)
        line.calls.cancel(["2", "unknown", "1", "1"])
        await asyncio.sleep(0.1)
        assert stopped == ["wait"]
        line.result(id="2")
        await asyncio.sleep(2 * CALL_DEADLINE)
        assert line.answers == {}
        assert [message["data"]["cancelled"] for message in line.said if "cancelled" in message["data"]] == [True, True]
        assert line.types[-1] == "error-response", "the client's result came too late"

    play(main, wait)


def test_a_call_that_is_cancelled_before_it_began_to_run_does_not_run(play: Play) -> None:
    async def never() -> None:
        """Never."""
        raise AssertionError

    async def main(line: Line) -> None:
        line.begin("never")
        line.calls.cancel(["1"])
        await asyncio.sleep(1)
        assert line.answers == {}

    play(main, never)


def test_a_cancellation_counts_until_the_model_is_told_and_not_after(play: Play) -> None:
    results: list[asyncio.Future[str]] = []

    async def wait() -> str:
        """Wait for a result."""
        results.append(asyncio.get_running_loop().create_future())
        return await results[-1]

    async def main(line: Line) -> None:
        line.begin("wait", "early")
        line.begin("wait", "late")
        await asyncio.sleep(0.1)
        for result in results:
            result.set_result("done")
        line.calls.cancel(["early"])  # it has its result, and is about to go on
        await asyncio.sleep(0.1)
        line.calls.cancel(["late"])
        assert line.answers == {"late": {"output": "done"}}
        assert line.types.count("call-stopped") == 2

    play(main, wait)


def test_an_id_that_comes_again_is_not_answered_again(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("double", number=1)
        line.begin("double", number=2)
        await asyncio.sleep(2)
        assert line.ignored == [], "the model waits for the one that runs"
        line.begin("double", number=3)
        await asyncio.sleep(2)
        assert line.answers == {"1": {"output": 2}}
        assert line.ignored == [(1, FunctionCall("1", "double", {"number": 3}))]

    play(main, double)


def test_old_ids_are_forgotten_in_time(play: Play) -> None:
    async def main(line: Line) -> None:
        for n in range(MAX_PAST + 1):
            line.begin("show", str(n))
            line.calls.cancel([str(n)])
        line.begin("show", "0")
        assert line.types[-1] == "call-in-progress"
        line.begin("show", "2")
        assert line.said[-1]["data"]["tool_call_id"] == "0"

    play(main)


def test_after_the_end_nothing_is_answered_and_nothing_begins(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("double", "1", number=1)
        line.begin("show", "2")
        line.calls.close()
        line.calls.close()
        assert line.types.count("call-stopped") == 2
        line.begin("double", "3", number=1)
        line.result(id="2")
        await asyncio.sleep(2 * CALL_DEADLINE)
        assert line.told == []

    play(main, double)


def test_an_id_is_another_call_on_another_connection_to_the_model(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("double", number=1)
        await asyncio.sleep(2)
        line.begin("double", number=2, on=2)
        line.begin("double", number=3)
        await asyncio.sleep(2)
        assert [answer["response"] for answer in line.told] == [{"output": 2}, {"output": 4}]
        assert [answer["id"] for answer in line.told] == ["1", "1"]
        assert line.to == [1, 2]
        named = [message["data"]["tool_call_id"] for message in line.said if "tool_call_id" in message["data"]]
        assert len(named) == 4
        assert len(set(named)) == 2, "the client can tell them apart"

    play(main, double)


def test_a_call_that_is_still_open_is_not_mistaken_for_that_of_another_connection(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("show", place="Oslo")
        line.begin("show", place="Rome", on=2)
        one, two = (message["data"]["tool_call_id"] for message in line.said if "arguments" in message["data"])
        line.result("Rome is shown", id=two)
        line.result("Oslo is shown", id=one)
        assert [answer["response"]["output"] for answer in line.told] == ["Rome is shown", "Oslo is shown"]
        assert line.to == [2, 1]

    play(main)


def test_only_the_connection_that_called_can_cancel(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("double", number=1)
        line.begin("double", number=2, on=2)
        line.calls.cancel(["1"])
        await asyncio.sleep(2)
        assert (line.told[0]["response"], line.to) == ({"output": 2}, [1])

    play(main, double)


def test_an_interruption_says_which_calls_will_have_no_answer(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("double", "a", number=1)
        line.begin("show", "b")
        line.begin("nothing", "", on=2)
        line.begin("double", "c", number=1, on=1)
        line.calls.interrupt()
        assert line.ignored == [
            (1, FunctionCall("a", "double", {"number": 1})),
            (2, FunctionCall("", "nothing", {})),
            (1, FunctionCall("c", "double", {"number": 1})),
        ]
        line.calls.interrupt()
        assert len(line.ignored) == 3
        line.result(id="b")
        await asyncio.sleep(2)
        assert line.answers == {"b": {"output": "ok"}}

    play(main, double, client=[tool(show, blocking=False)])


def test_who_takes_the_word_before_there_is_a_model_calls_nothing_off(play: Play) -> None:
    async def main(line: Line) -> None:
        FunctionCalls(Tools((), ()), line.said.extend, lambda: None).interrupt()
        assert (line.ignored, line.said) == ([], [])

    play(main)


# -- the client's ---------------------------------------------------------------------------------------------


def test_a_function_of_the_client_is_named_to_it_and_its_result_told(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("show", place="Oslo")
        assert line.types == ["call-started", "call-in-progress"]
        assert line.said[0]["data"] == {"function_name": "show"}
        assert line.said[1]["data"] == {"tool_call_id": "1", "function_name": "show", "arguments": {"place": "Oslo"}}
        line.result({"shown": True})
        assert line.told == [{"id": "1", "name": "show", "response": {"output": {"shown": True}}}]
        assert line.said[-1]["data"] == {
            "tool_call_id": "1", "cancelled": False, "function_name": "show", "result": {"shown": True},
        }  # fmt: skip

    play(main)


@pytest.mark.parametrize("library", sorted(OLD_LIBRARIES))
def test_ios_and_android_get_the_old_form_and_it_alone(play: Play, library: str) -> None:
    async def main(line: Line) -> None:
        line.calls.library = library
        line.begin("show", place="Oslo")
        (message,) = line.said
        assert message["type"] == "llm-function-call"
        assert message["data"] == {"tool_call_id": "1", "function_name": "show", "args": {"place": "Oslo"}}
        line.result("ok")
        assert line.answers == {"1": {"output": "ok"}}

    play(main)


def test_a_client_that_says_what_it_is_not_gets_the_new_form(play: Play) -> None:
    async def main(line: Line) -> None:
        line.calls.library = ""
        line.begin("show")
        assert line.types == ["call-started", "call-in-progress"]

    play(main)


def test_without_a_client_that_is_ready_the_model_hears_so_at_once(play: Play) -> None:
    async def main(line: Line) -> None:
        line.calls.library = None
        line.begin("show")
        assert line.answers == {"1": NO_CLIENT}
        assert line.said == []

    play(main)


@pytest.mark.parametrize("deadline", [None, 3])
def test_a_client_that_does_not_answer_is_answered_for(play: Play, deadline: float | None) -> None:
    async def main(line: Line) -> None:
        line.begin("show")
        await asyncio.sleep((deadline or CALL_DEADLINE) - 0.1)
        assert line.answers == {}
        await asyncio.sleep(0.2)
        assert "did not answer" in line.answers["1"]["error"]
        line.result()
        assert line.types[-2:] == ["call-stopped", "error-response"]
        assert len(line.told) == 1

    play(main, client=[tool(show, deadline=deadline)])


def test_a_clients_error_is_told_as_one(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("show")
        line.result({"error": "There is no map."})
        assert line.answers == {"1": {"error": "There is no map."}}

    play(main)


@pytest.mark.parametrize(
    ("result", "output"), [(None, None), ("", ""), ([], []), ({"error": 7}, {"error": 7}), ("\ud83d", "?")]
)
def test_whatever_a_client_returns_reaches_the_model(play: Play, result: Any, output: Any) -> None:
    async def main(line: Line) -> None:
        line.begin("show")
        line.result(result)
        assert line.answers == {"1": {"output": output}}

    play(main)


def test_a_clients_result_that_is_too_long_is_not_passed_on(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("show")
        line.result("x" * MAX_RESULT)
        assert line.answers == {"1": TOO_LONG}
        line.begin("show", "2")
        line.result({"error": "x" * MAX_RESULT}, id="2")
        assert line.answers["2"] == TOO_LONG

    play(main)


def test_a_clients_result_too_large_to_be_read_is_answered_for_at_once(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("show", "1")
        line.begin("double", "2", number=1)
        data = {"function_name": "show", "tool_call_id": "1", "arguments": {}, "result": "x" * said.MAX_MESSAGE}
        frame = json.dumps({"id": "m", "label": "rtvi-ai", "type": "llm-function-call-result", "data": data})
        for written in (frame, frame.encode(), frame.replace("result", "nothing")):
            read = reading.read(written)
            assert isinstance(read, said.Malformed)
            line.calls.too_long(read.call_id)
        line.calls.too_long("2")
        assert line.answers == {"1": TOO_LONG}

    play(main, double)


def test_arguments_too_long_for_a_message_are_answered_at_once(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("show", place="x" * MAX_ARGUMENTS)
        assert line.answers == {"1": LONG_ARGUMENTS}
        assert line.said == []

    play(main)


def test_a_result_that_nobody_asked_for_is_an_error_to_the_client_alone(play: Play) -> None:
    async def main(line: Line) -> None:
        line.begin("double", "ours", number=1)
        line.begin("show", "theirs")
        line.result(id="unknown")
        line.result(id="ours", name="double")
        line.result(id="ours")
        line.result(id="theirs", name="hide")
        assert line.types[-4:] == ["error-response"] * 4
        assert line.said[-1]["id"] == "m"
        assert line.told == []
        line.result(id="theirs")
        line.result(id="theirs")
        assert line.answers == {"theirs": {"output": "ok"}}
        assert line.types[-1] == "error-response"
        await asyncio.sleep(2)
        assert line.answers["ours"] == {"output": 2}

    play(main, double)


# -- whatever happens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_in_whatever_order_every_id_has_one_answer_but_the_cancelled_ones(play: Play, seed: int) -> None:
    dice = random.Random(seed)

    async def moody() -> Any:
        """Do anything."""
        await asyncio.sleep(dice.choice([0, 0, 1, 30]))
        match dice.randrange(4):
            case 0:
                raise ValueError
            case 1:
                return "x" * 1_000_000
            case 2:
                raise asyncio.CancelledError
        return "fine"

    async def main(line: Line) -> None:
        begun: set[str] = set()
        cancelled: set[str] = set()
        for _ in range(60):
            id = str(dice.randrange(20))
            match dice.randrange(5):
                case 0:
                    line.begin("moody", id)
                    begun.add(id)
                case 1:
                    line.begin("show", id)
                    begun.add(id)
                case 2:
                    line.result(id=id)
                case 3 if id in begun and id not in line.answers:
                    line.calls.cancel([id])
                    cancelled.add(id)
                case 4:
                    await asyncio.sleep(dice.choice([0, 0.5, 5]))
        await asyncio.sleep(60)
        assert line.answers.keys() == begun - cancelled
        assert line.types.count("call-stopped") == line.types.count("call-in-progress") == len(begun)

    play(main, moody)
