"""The relay itself: media and conversation. It knows nothing of HTTP; `signaling` does."""

__version__ = "0.1.0"
