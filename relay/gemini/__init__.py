"""The model: the Live wire format and the socket that carries it."""
