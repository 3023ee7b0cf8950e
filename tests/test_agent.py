"""What a user of this project writes, and the settings it becomes."""

import asyncio
import dataclasses
import logging
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from google.genai import types

from relay.agent import (
    DEFAULT_VOICE,
    MAX_LANGUAGES,
    MAX_REFUSAL,
    MAX_TERM,
    MAX_VOCABULARY,
    Agent,
    AgentError,
    AgentSource,
    Listening,
    Refused,
    load_agent,
)
from relay.errors import BrowserFault, OwnerFault, RelayError
from relay.gemini.events import FunctionCall
from relay.request import CallRequest

MODEL = "gemini-3.8-live"
EXAMPLES = Path(__file__).parent.parent / "examples"


def example() -> Agent:
    agent = load_agent(EXAMPLES / "my_agent.py").agent
    assert isinstance(agent, Agent)
    return agent


def voice_of(config: types.LiveConnectConfig) -> str | None:
    assert config.speech_config is not None
    assert config.speech_config.voice_config is not None
    assert config.speech_config.voice_config.prebuilt_voice_config is not None
    return config.speech_config.voice_config.prebuilt_voice_config.voice_name


def text_of(config: types.LiveConnectConfig) -> str:
    assert isinstance(config.system_instruction, types.Content)
    assert config.system_instruction.parts is not None
    return config.system_instruction.parts[0].text or ""


def test_an_agent_speaks_is_written_down_both_ways_and_can_be_resumed() -> None:
    config = Agent().live_config(MODEL)
    assert config.response_modalities == [types.Modality.AUDIO]
    assert voice_of(config) == DEFAULT_VOICE
    assert config.input_audio_transcription is not None
    assert config.output_audio_transcription is not None
    assert config.session_resumption == types.SessionResumptionConfig()
    assert config.context_window_compression is not None
    assert config.context_window_compression.sliding_window is not None


def test_the_default_agent_knows_what_day_it_is_and_anothers_words_are_left_alone() -> None:
    day = date(2031, 5, 8)
    assert "Thursday, 08 May 2031" in text_of(Agent().live_config("gemini-3.8-live", today=day))
    assert text_of(Agent(instructions="Be terse.").live_config("gemini-3.8-live", today=day)) == "Be terse."


async def test_an_agent_without_on_message_has_no_answer_to_an_app_and_one_with_it_may_be_sync() -> None:
    with pytest.raises(LookupError):
        await Agent().reply("double", 21)
    assert await Agent(on_message=lambda kind, data: data * 2).reply("double", 21) == 42
    thread = await Agent(on_message=lambda kind, data: threading.current_thread().name).reply("where", None)
    assert thread != threading.current_thread().name, "it may block"


def test_what_is_not_asked_for_is_left_to_the_model() -> None:
    config = Agent().live_config(MODEL)
    asked = set(config.model_dump(exclude_none=True))
    assert asked == {
        "response_modalities", "speech_config", "system_instruction", "session_resumption",
        "input_audio_transcription", "output_audio_transcription", "context_window_compression",
    }  # fmt: skip


def test_a_greeting_needs_no_seeded_history() -> None:
    agent = Agent(greeting="Say hello.")
    assert agent.greeting == "Say hello."
    assert agent.live_config(MODEL).history_config is None
    assert Agent().greeting, "the model opens unless told otherwise"


@pytest.mark.parametrize(
    ("model", "level"),
    [(MODEL, None), ("gemini-3.8-live-extended-thinking", types.ThinkingLevel.LOW),
     ("gemini-3.1-flash-live-preview", None)],
)  # fmt: skip
def test_only_the_model_that_insists_on_thinking_is_told_how(model: str, level: types.ThinkingLevel | None) -> None:
    thinking = Agent().live_config(model).thinking_config
    assert (thinking.thinking_level if thinking is not None else None) == level


def test_what_the_call_asks_for_wins_over_the_agents_own() -> None:
    agent = Agent(instructions="mine", voice="Kore", language="de-DE")
    own = agent.live_config(MODEL)
    assert (voice_of(own), text_of(own).split("\n")[0]) == ("Kore", "mine")
    assert "de-DE" in text_of(own)
    other = agent.live_config(MODEL, voice="Leda", language="nb-NO", instructions="theirs")
    assert (voice_of(other), text_of(other).split("\n")[0]) == ("Leda", "theirs")
    assert "nb-NO" in text_of(other)
    assert other.speech_config is not None
    assert other.speech_config.language_code == "nb-NO"


def test_what_helps_to_write_down_what_is_said_goes_with_both_transcriptions() -> None:
    config = Agent(languages=["de-DE", "en"], vocabulary=["Kubernetes"]).live_config(MODEL)
    hints = types.AudioTranscriptionConfig(language_codes=["de-DE", "en"], custom_vocabulary=["Kubernetes"])
    assert config.input_audio_transcription == config.output_audio_transcription == hints
    assert Agent().live_config(MODEL).input_audio_transcription == types.AudioTranscriptionConfig()


@pytest.mark.parametrize(
    ("hints", "words"),
    [
        ({"languages": ["german!"]}, "languages must be tags"),
        ({"languages": "de"}, "languages must be a list"),
        ({"languages": ["de"] * (MAX_LANGUAGES + 1)}, "languages must be a list"),
        ({"vocabulary": "Kubernetes"}, "vocabulary must be a list"),
        ({"vocabulary": [""]}, "vocabulary must be a list"),
        ({"vocabulary": ["x" * (MAX_TERM + 1)]}, "vocabulary must be a list"),
        ({"vocabulary": ["x"] * (MAX_VOCABULARY + 1)}, "vocabulary must be a list"),
        ({"vocabulary": [7]}, "vocabulary must be a list"),
    ],
)
def test_hints_that_no_setup_can_hold_are_refused_where_they_are_written(hints: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Agent(**hints)


def test_listening_is_set_as_far_as_it_is_given() -> None:
    config = Agent(listening=Listening(end="low", silence=700)).live_config(MODEL)
    assert config.realtime_input_config == types.RealtimeInputConfig(
        automatic_activity_detection=types.AutomaticActivityDetection(
            end_of_speech_sensitivity=types.EndSensitivity.END_SENSITIVITY_LOW, silence_duration_ms=700
        )
    )


def test_tools_are_declared_to_the_model() -> None:
    def look_up(place: str) -> str:
        """Look a place up."""
        return place

    config = Agent(tools=[look_up]).live_config(MODEL)
    assert config.tools is not None
    (tool,) = config.tools
    assert isinstance(tool, types.Tool)
    assert [declaration.name for declaration in tool.function_declarations or ()] == ["look_up"]


def test_the_clients_tools_google_search_and_code_execution_are_asked_for_one_by_one() -> None:
    agent = Agent(client_tools=[{"name": "show_map"}], google_search=True, code_execution=True)
    search, code, functions = agent.live_config(MODEL).model_dump(mode="json", by_alias=True, exclude_none=True)[
        "tools"
    ]
    assert functions == {"functionDeclarations": [{"name": "show_map"}]}
    assert search == {"googleSearch": {}}
    assert code == {"codeExecution": {}}


def test_an_agent_is_not_changed_after_it_is_made() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Agent().voice = "Kore"  # type: ignore[misc]


async def test_the_example_is_an_agent_whose_tools_work() -> None:
    agent = example()
    assert [declaration.name for declaration in agent.toolbox.declarations] == ["time_in", "roll_dice"]
    told = await agent.toolbox.run(FunctionCall("1", "time_in", {"zone": "Europe/Oslo"}))
    assert ":" in told["output"]
    rolled = await agent.toolbox.run(FunctionCall("2", "roll_dice", {"sides": 6.0, "count": 3}))
    assert len(rolled["output"]) == 3


@pytest.mark.parametrize(
    ("name", "args"),
    [("time_in", {"zone": "../etc/passwd"}), ("time_in", {"zone": "Nowhere"}), ("roll_dice", {"sides": 1})],
)
async def test_the_examples_tools_say_what_they_cannot_do(name: str, args: dict[str, Any]) -> None:
    told = await example().toolbox.run(FunctionCall("1", name, args))
    assert told["error"] != "The function failed."


async def test_the_example_with_an_agent_for_each_call_sells_what_the_shop_has() -> None:
    source = load_agent(EXAMPLES / "shop_agent.py")
    agent = await source.for_call(CallRequest({"shop": "bicycles"}))
    assert [one.name for one in agent.toolbox.declarations] == ["price_of", "order", "show_price"]
    assert await agent.toolbox.run(FunctionCall("1", "price_of", {"part": "bell"})) == {"output": 9}
    assert "bell" in (await agent.toolbox.run(FunctionCall("1", "price_of", {"part": "crown"})))["error"]
    with pytest.raises(BrowserFault, match="agent-refused"):
        await source.for_call(CallRequest({}, {"shop": "boats"}))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1", "defines no agents"),
        ("from relay.agent import Agent\na = Agent()\nb = Agent()", "defines 2 agents"),
        ("raise RuntimeError('why')", "RuntimeError: why"),
        ("def", "SyntaxError"),
    ],
)
def test_a_file_that_holds_no_agent_says_so(source: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source)
    with pytest.raises(AgentError, match=told):
        load_agent(path)


@pytest.mark.parametrize("name", ["agent", "somebody"])
def test_the_agent_is_found_by_its_name_or_because_it_is_alone(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    other = "other = Agent()\n" if name == "agent" else ""
    path.write_text(f"from relay.agent import Agent\n{other}{name} = Agent(voice='Leda')\n")
    assert load_agent(path).agent == Agent(voice="Leda")


ASKED = CallRequest({"name": "Ada"}, {"room": 7})


def hired(call: CallRequest) -> Agent:
    return Agent(instructions=f"{call.body['name']} in {call.request_data['room']}")


async def hired_later(call: CallRequest) -> Agent:
    await asyncio.sleep(0)
    return hired(call)


@pytest.mark.parametrize("function", [hired, hired_later, lambda call: hired_later(call)])
async def test_an_agent_is_made_for_each_call_of_what_the_app_sent(function: Callable[[CallRequest], Any]) -> None:
    source = AgentSource(function)
    first, second = await source.for_call(ASKED), await source.for_call(ASKED)
    assert first.instructions == "Ada in 7"
    assert first is not second


async def test_one_agent_for_all_calls_is_the_same_for_each() -> None:
    agent = Agent()
    assert await AgentSource(agent).for_call(ASKED) is await AgentSource(agent).for_call(CallRequest()) is agent


async def test_a_sync_function_that_thinks_long_holds_up_nobody() -> None:
    released = threading.Event()

    def slowly(call: CallRequest) -> Agent:
        released.wait(5)
        return hired(call)

    asking = asyncio.create_task(AgentSource(slowly).for_call(ASKED))
    await asyncio.sleep(0.02)
    assert not asking.done()
    released.set()
    assert (await asking).instructions == "Ada in 7"


async def failure(source: AgentSource, kind: type[RelayError], code: str) -> RelayError:
    with pytest.raises(kind) as caught:
        await source.for_call(ASKED)
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize("error", [ValueError, KeyError, StopIteration, SystemExit, KeyboardInterrupt, TimeoutError])
async def test_an_agent_function_that_fails_is_told_by_kind_and_place_and_never_in_its_words(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def fails(call: CallRequest) -> Agent:
        raise error("canary")

    fault = await failure(AgentSource(fails), OwnerFault, "agent-failed")
    assert "test_agent.py:" in fault.detail
    assert "canary" not in fault.detail + str(fault.told()) + caplog.text
    assert fault.__suppress_context__, "a traceback would show its words"


@pytest.mark.parametrize("sync", [True, False])
async def test_an_agent_function_that_hangs_is_waited_for_so_long(sync: bool) -> None:
    released = threading.Event()

    def hangs(call: CallRequest) -> Agent:
        released.wait(5)
        return hired(call)

    async def hangs_too(call: CallRequest) -> Agent:
        await asyncio.Event().wait()
        return hired(call)

    source = AgentSource(hangs if sync else hangs_too, deadline=0.02)
    assert "0.02 s" in (await failure(source, OwnerFault, "agent-failed")).detail
    released.set()


async def test_what_is_no_agent_takes_no_call() -> None:
    fault = await failure(AgentSource(lambda call: {"voice": "Kore"}), OwnerFault, "agent-failed")  # type: ignore[arg-type,return-value]
    assert "dict" in fault.detail


async def test_an_author_refuses_a_call_in_words() -> None:
    def refuses(call: CallRequest) -> Agent:
        raise Refused("There is no\nsuch shop. " + "x" * 1000)

    fault = await failure(AgentSource(refuses), BrowserFault, "agent-refused")
    assert fault.fault.status == 403
    assert fault.told()["detail"].startswith("There is no such shop. xxx")
    assert len(fault.hint) == MAX_REFUSAL


@pytest.mark.parametrize("how", ["def", "async def"])
async def test_a_file_may_make_an_agent_for_each_call(how: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"from relay.agent import Agent\n{how} agent(call):\n    return Agent(voice=call.body['name'])\n")
    assert (await load_agent(path).for_call(ASKED)).voice == "Ada"


def test_a_function_that_takes_no_call_is_found_out_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def agent():\n    pass\n")
    with pytest.raises(AgentError, match="must take one argument"):
        load_agent(path)
