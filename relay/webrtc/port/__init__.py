"""All calls on one UDP port: who a datagram is for, what ICE asks of us, the sockets, and aiortc's end of it."""
