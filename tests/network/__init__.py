"""Bad networks in real time: between an aiortc caller and its socket, and between a Chromium and the relay."""
