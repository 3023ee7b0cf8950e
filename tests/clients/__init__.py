"""The official clients, unmodified, against the real relay: what a team with a Pipecat app would see."""
