"""The model that ships with the relay: a server that speaks the Live wire format on loopback.

It greets, listens, and says the user's own words back. `python -m relay.standin` runs it as a process;
`relay.standin.server.serve` runs it inside a test. It imports nothing of `relay.gemini`.
"""
