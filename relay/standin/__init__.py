"""The model that ships with the relay: a server that speaks the Live wire format on loopback."""
