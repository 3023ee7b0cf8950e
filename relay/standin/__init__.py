"""The model that ships with the relay: a server that speaks the Live wire format on loopback.

It listens and answers, in words where the local voice is there, else with the user's own. `python -m relay.standin`
runs it as a process; `relay.standin.server.serve` runs it inside a test. It imports nothing of `relay.gemini`.
"""

import os

# onnxruntime's wheels from 1.32 on keep a diary and send it to their maker, unless told otherwise before the first
# import: the local voice tells nobody anything.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
