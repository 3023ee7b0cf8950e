"""What a new call is made of: which model, whose agent, and the owner's settings over the agent's own."""

from dataclasses import dataclass, field

from relay.agent import Agent
from relay.audio.opus import BITRATE, COMPLEXITY
from relay.gemini.client import Target
from relay.request import CallRequest as CallRequest


@dataclass(frozen=True, slots=True)
class CallSettings:
    """What a new call needs to know. Empty strings mean the agent's own choice, then the default."""

    target: Target
    agent: Agent
    voice: str = ""
    language: str = ""
    instructions: str = ""
    greeting: str | None = None  # None: the agent's own; empty: the caller speaks first
    opus_bitrate: int = BITRATE  # bit/s, of the voice to the browser
    opus_complexity: int = COMPLEXITY
    about: dict[str, str] = field(default_factory=dict)  # told to the client in bot-ready
