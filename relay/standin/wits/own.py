"""Was that the voice itself, come back through the microphone? Pure."""


def is_own(heard: str, saying: str) -> bool:
    """Whether `heard` is a part of `saying`, give or take a word that was misheard.

    `saying` is what has been sent to be played and may still be in the air: the sentence before, this one and the next.
    """
    return heard.lower().strip(" .!?") in saying.lower()
