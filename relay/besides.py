"""What the model tells besides words and sound, as a client reads it: tokens, sources. Pure."""

from relay import rtvi
from relay.gemini import events
from relay.rtvi import Message


def tokens(usage: events.Usage) -> Message:
    """What the turn has taken, by kind."""
    return rtvi.metrics_tokens(
        usage.prompt,
        usage.response,
        usage.total or usage.prompt + usage.response,
        reasoning_tokens=usage.thoughts,
        **{f"input_{kind.lower()}_tokens": count for kind, count in usage.prompt_by_modality.items()},
        **{f"output_{kind.lower()}_tokens": count for kind, count in usage.response_by_modality.items()},
    )


def found(grounding: events.Grounding) -> Message:
    """What its answer rests on, where it has searched."""
    origins = [
        {
            "site_uri": source.address,
            "site_title": source.title or source.address,
            "results": [{"text": passage.text, "confidence": passage.confidence} for passage in source.passages],
        }
        for source in grounding.sources
    ]
    return rtvi.search_response(grounding.answer, grounding.rendered, origins)
