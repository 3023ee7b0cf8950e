"""Sound: jitter buffer, libopus, playout, voice activity."""
