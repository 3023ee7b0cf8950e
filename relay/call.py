"""What a new call is made of: which model, whose agent, and the owner's settings over the agent's own."""

from dataclasses import dataclass, field

from relay.agent import Agent
from relay.audio.opus import BITRATE, COMPLEXITY
from relay.config import BargeIn
from relay.cost import Ledger
from relay.gemini.handshake import Target
from relay.transcribe import Transcriber
from relay.transcript import Turn


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
    keep: float = 60.0  # seconds that a lost browser is waited for
    idle: float = 0.0  # seconds it may be quiet; 0: for ever
    longest: float = 0.0  # seconds it may last; 0: for ever
    prior: tuple[Turn, ...] = ()  # what was said before the call
    ledger: Ledger = field(default_factory=Ledger)  # where its cost is entered, with that of all others
    transcriber: Transcriber | None = None  # None: the sound goes to nobody but the model
    barge_in: BargeIn = "model"  # whose ear stops the voice
    about: dict[str, str] = field(default_factory=dict)  # told to the client in bot-ready
