"""What a user of this project writes: an `Agent`, its instructions, voice and tools, in a Python file of their own.

from relay.agent import Agent

def time_of_day() -> str:
    "The time of day, here."
    return ...

agent = Agent(instructions="You answer the phone of a watchmaker.", tools=[time_of_day])

or a function of that name, sync or async, which is given what the app sent with the call:

def agent(call: CallRequest) -> Agent:
    if call.body.get("shop") not in SHOPS:
        raise Refused("There is no such shop.")
    return Agent(instructions=f"You answer the phone of {SHOPS[call.body['shop']]}.")
"""

import asyncio
import importlib.util
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from google.genai import types

from relay.errors import BrowserFault, OwnerFault, place
from relay.thread import Places, called, called_within
from relay.tools import Function, Tool, Tools
from relay.values import LANGUAGE

if TYPE_CHECKING:
    from relay.request import CallRequest

DEFAULT_VOICE: Final = "Puck"
DEFAULT_INSTRUCTIONS: Final = (
    "You are a friendly voice on the phone. Speak naturally and briefly, one to three sentences, unless you are asked"
    " for more. Use no lists, headings or emoji: every word is spoken aloud. If you did not understand, say so."
)
DEFAULT_GREETING: Final = "Say hello, briefly, and ask how you can help."

AGENT_SECONDS: Final = 5.0  # for the file's `agent(call)`; the caller hears nothing meanwhile
MAX_REFUSAL: Final = 300  # characters of a refusal's words
# What helps to write down what is said goes with each connection's setup: 20 kB of it at most.
MAX_LANGUAGES: Final = 20
MAX_VOCABULARY: Final = 200
MAX_TERM: Final = 100  # characters

Sensitivity = Literal["high", "low"]

log = logging.getLogger(__name__)


class AgentError(Exception):
    """An agent file cannot be used; the text is the one sentence its author reads."""


class Refused(Exception):
    """Raised by `agent(call)` in order not to take the call: the text is a sentence that the caller reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """How the model hears that the caller starts and stops to speak. What is None is left to the model.

    A low sensitivity hears fewer starts, or fewer ends. `silence` and `prefix` are in milliseconds: the pause that
    ends a turn, and the speech it takes before a turn begins.
    """

    start: Sensitivity | None = None
    end: Sensitivity | None = None
    prefix: int | None = None
    silence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who answers the call. `greeting` is what the model is told in order to speak first; empty, and it waits.

    `tools` are Python functions, sync or async, with type hints and a docstring: those are what the model reads.
    `client_tools` are run by the user's app: the signature of a function that is never run here, or a declaration;
    `tools.tool` says of either how it is called. `google_search` lets the model search, `code_execution` compute.
    `language` is a BCP 47 tag such as ``de-DE``; empty, and the model follows the caller.
    `languages` are tags of what callers may speak, `vocabulary` names and terms that they may say: both only help to
    write down what was said. Without `languages` each is recognised.
    `on_message` answers what the app sends with `sendClientRequest`: it gets the type and the data, may be async,
    and raises `LookupError` for a type it does not know.
    """

    instructions: str = DEFAULT_INSTRUCTIONS
    voice: str = DEFAULT_VOICE
    language: str = ""
    greeting: str = DEFAULT_GREETING
    tools: Sequence[Function | Tool] = ()
    client_tools: Sequence[Function | Tool | types.FunctionDeclaration | Mapping[str, Any]] = ()
    google_search: bool = False
    code_execution: bool = False
    listening: Listening | None = None
    languages: Sequence[str] = ()
    vocabulary: Sequence[str] = ()
    on_message: Callable[[str, Any], Any] | None = None
    toolbox: Tools = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "toolbox", Tools(self.tools, self.client_tools))
        if not all(LANGUAGE.fullmatch(tag) for tag in _short(self.languages, "languages", MAX_LANGUAGES)):
            raise ValueError("languages must be tags such as de-DE")
        _short(self.vocabulary, "vocabulary", MAX_VOCABULARY)

    async def reply(self, type: str, data: Any, *places: Places) -> Any:
        """The answer to an app's own message, within these `places`.

        Raises `LookupError` where this agent has none, and `Crowded`.
        """
        if self.on_message is None:
            raise LookupError(type)
        return await called_within(places, self.on_message, type, data)

    def live_config(
        self,
        model: str,
        *,
        voice: str = "",
        language: str = "",
        instructions: str = "",
        today: date | None = None,
        marked: bool = False,
    ) -> types.LiveConnectConfig:
        """The settings of one connection; what is given here wins over the agent's own.

        The default instructions are told the date: a model knows none, and is asked for it. `today` is this machine's
        unless given. With `marked` the model listens for no voice itself: it is told where one begins and ends.
        """
        language = language or self.language
        text = instructions or self.instructions
        if text == DEFAULT_INSTRUCTIONS:
            text = f"{text} Today is {today or date.today():%A, %d %B %Y}."
        if language:
            # The native-audio models ignore the language of the speech settings, and listen to this.
            text = f"{text}\n\nSpeak the language with the tag {language}, unless the caller asks for another."
        return types.LiveConnectConfig(
            response_modalities=[types.Modality.AUDIO],
            speech_config=types.SpeechConfig(
                voice_config=types.VoiceConfig(
                    prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name=voice or self.voice)
                ),
                language_code=language or None,
            ),
            thinking_config=_thinking(model),
            system_instruction=types.Content(role="user", parts=[types.Part(text=text)]) if text else None,
            tools=list(self._tools()) or None,
            input_audio_transcription=self._transcription(),
            output_audio_transcription=self._transcription(),
            realtime_input_config=MARKED if marked else _detection(self.listening),
            session_resumption=types.SessionResumptionConfig(),
            # Its presence alone lifts the limit of 15 minutes; its figures are the model's own.
            context_window_compression=types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow()),
        )

    def _transcription(self) -> types.AudioTranscriptionConfig:
        return types.AudioTranscriptionConfig(
            language_codes=list(self.languages) or None, custom_vocabulary=list(self.vocabulary) or None
        )

    def _tools(self) -> Iterator[types.Tool]:
        if self.google_search:
            yield types.Tool(google_search=types.GoogleSearch())
        if self.code_execution:
            yield types.Tool(code_execution=types.ToolCodeExecution())
        if declarations := self.toolbox.declarations:
            yield types.Tool(function_declarations=declarations)


def _short(words: Sequence[str], name: str, most: int) -> Sequence[str]:
    """The same if it is a list that a setup can hold; a text is none, though Python takes it for one of letters."""
    good = not isinstance(words, str) and len(words) <= most and all(isinstance(word, str) for word in words)
    if not good or not all(0 < len(word) <= MAX_TERM for word in words):
        raise ValueError(f"{name} must be a list of at most {most} texts of 1 to {MAX_TERM} characters")
    return words


def _thinking(model: str) -> types.ThinkingConfig | None:
    """Only the model that insists on it gets a level; plain gemini-3.8-live must not get any."""
    if "extended-thinking" in model:
        return types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW)
    return None


MARKED: Final = types.RealtimeInputConfig(automatic_activity_detection=types.AutomaticActivityDetection(disabled=True))


def _detection(listening: Listening | None) -> types.RealtimeInputConfig | None:
    if listening is None:
        return None
    start, end = listening.start, listening.end
    return types.RealtimeInputConfig(
        automatic_activity_detection=types.AutomaticActivityDetection(
            start_of_speech_sensitivity=types.StartSensitivity(f"START_SENSITIVITY_{start.upper()}") if start else None,
            end_of_speech_sensitivity=types.EndSensitivity(f"END_SENSITIVITY_{end.upper()}") if end else None,
            prefix_padding_ms=listening.prefix,
            silence_duration_ms=listening.silence,
        )
    )


AgentFunction = Callable[["CallRequest"], Agent | Awaitable[Agent]]


class AgentSource:
    """Whose agent takes a call: one for all calls, or what the function of an agent file makes for each."""

    def __init__(self, agent: Agent | AgentFunction, *, deadline: float = AGENT_SECONDS) -> None:
        self.agent = agent
        self._deadline = deadline

    async def for_call(self, request: "CallRequest") -> Agent:
        """The agent of this call, within `deadline` seconds; a sync function runs in a thread.

        Raises `BrowserFault` ``agent-refused`` with the words of `Refused`, and `OwnerFault` ``agent-failed`` for
        whatever else goes wrong: its detail is the kind and the place of the error, not its words.
        """
        if isinstance(self.agent, Agent):
            return self.agent
        try:
            async with asyncio.timeout(self._deadline) as timeout:
                agent = await called(self.agent, request)
        except Refused as refused:
            raise BrowserFault("agent-refused", hint=" ".join(str(refused).split())[:MAX_REFUSAL]) from None
        except (Exception, SystemExit) as error:
            if isinstance(error, TimeoutError) and timeout.expired():
                raise OwnerFault("agent-failed", f"no agent in {self._deadline:g} s") from None
            raise OwnerFault("agent-failed", f"{type(error).__name__} at {place(error)}") from None
        if not isinstance(agent, Agent):
            raise OwnerFault("agent-failed", f"agent(call) gave a {type(agent).__name__}, not an Agent")
        return agent


def load_agent(path: Path) -> AgentSource:
    """Run the Python file at `path` and take its `agent`, an `Agent` or a function that makes one for each call, or
    else its only `Agent`. Raises `AgentError`."""
    spec = importlib.util.spec_from_file_location(f"agent_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise AgentError(f"{path.name} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pydantic look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[spec.name]
        raise AgentError(f"{path.name} fails when it is run: {type(error).__name__}: {error}") from error
    named = getattr(module, "agent", None)
    if inspect.isroutine(named):
        return AgentSource(_taking_a_call(named, path))
    found = [named] if isinstance(named, Agent) else [one for one in vars(module).values() if isinstance(one, Agent)]
    if len(found) != 1:
        raise AgentError(f"{path.name} defines {len(found) or 'no'} agents; name the one to use `agent`.")
    return AgentSource(found[0])


def _taking_a_call(function: AgentFunction, path: Path) -> AgentFunction:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise AgentError(f"The function agent of {path.name} must take one argument, the call.") from None
    return function
