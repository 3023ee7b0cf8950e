"""The floor: what libopus, libsrtp and the kernel alone take for a packet's way, whatever language calls them.

A process of its own (see `part.py`), run on the relay's processor. Each C function is called in a tight loop on the
bytes of a call, and the same loop around a C function that does nothing is taken off. What no relay can do without
is counted, and nothing else: no base64, no JSON, no waiting for an event.
"""

import asyncio
import contextlib
import itertools
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import cffi
import pylibsrtp
from pylibsrtp._binding import ffi, lib

from bench import opus, speech
from bench.caller import HEADER, STEP, redundant
from bench.part import serve
from relay.audio.opus import BITRATE, COMPLEXITY

FRAMES_PER_SECOND: Final = 50
BATCH: Final = 32  # calls between two looks at the clock; as many datagrams fit into a socket's buffer
UP_MESSAGE: Final = 920  # bytes: 20 ms of 16 kHz in base64 in a WebSocket frame
DOWN_SHARE: Final = 1290  # bytes: 20 ms of 24 kHz in base64, of a message of ten such frames
DOWN_FRAMES: Final = 10
SRTP_TAG: Final = 10
KEY: Final = bytes(range(30))
AUDIO: Final = 2049  # OPUS_APPLICATION_AUDIO
SETTINGS: Final = ((4002, BITRATE), (4010, COMPLEXITY))  # OPUS_SET_BITRATE, OPUS_SET_COMPLEXITY

Microseconds = float


C: Final = cffi.FFI()
C.cdef("""
    int opus_decoder_get_size(int channels);
    int opus_decoder_init(void *state, int32_t rate, int channels);
    int opus_decode(void *state, const char *packet, int32_t bytes, void *pcm, int samples, int fec);
    int opus_encoder_get_size(int channels);
    int opus_encoder_init(void *state, int32_t rate, int channels, int application);
    int opus_encoder_ctl(void *state, int request, ...);
    int opus_encode(void *state, const char *pcm, int samples, void *packet, int32_t bytes);
    ssize_t send(int socket, const char *data, size_t bytes, int flags);
    ssize_t recv(int socket, void *room, size_t bytes, int flags);
    long labs(long number);
""")


class Floor:
    """One call's worth of buffers and sockets, and the C functions that are measured on them."""

    def __init__(self) -> None:
        self._libc = C.dlopen(None)
        self._opus = C.dlopen(opus.library().api.libopus._name)
        uplink = speech.packets(speech.sentence(speech.UPLINK_RATE))
        frame = 2 * speech.DOWNLINK_RATE // FRAMES_PER_SECOND
        spoken = speech.sentence(speech.DOWNLINK_RATE).pcm
        self._packets = uplink
        self._frames = [spoken[at : at + frame] for at in range(0, len(spoken) - frame + 1, frame)]
        self._red = redundant(uplink, 111)

    async def measure(self, seconds: float = 0.4) -> dict[str, Microseconds]:
        """What each step takes, the median of as many batches as fit into `seconds` altogether."""
        found: dict[str, Microseconds] = {}
        with contextlib.ExitStack() as stack:
            steps = [self._decode(), self._encode(), self._srtp(), self._datagrams(stack), self._messages(stack)]
            for step in steps:
                rounds: dict[str, list[float]] = {}
                end = time.monotonic() + seconds / len(steps)
                while time.monotonic() < end:
                    for name, spent in step().items():
                        rounds.setdefault(name, []).append(spent)
                found |= {name: max(0.0, statistics.median(spent)) for name, spent in rounds.items()}
        return found

    def _nothing(self, kind: str, *arguments: Any) -> Callable[[], float]:
        """Seconds of a batch of calls to a C function of this type that only returns."""
        function = C.cast(kind, self._libc.labs)

        def batch() -> float:
            began = time.thread_time()
            for _ in range(BATCH):
                function(*arguments)
            return time.thread_time() - began

        return batch

    def _decode(self) -> Callable[[], dict[str, float]]:
        decode, room = self._opus.opus_decode, C.new("char[]", 2 * speech.UPLINK_RATE)
        state = C.new("char[]", self._opus.opus_decoder_get_size(1))
        assert self._opus.opus_decoder_init(state, speech.UPLINK_RATE, 1) == 0
        nothing = self._nothing("int(*)(void *, const char *, int32_t, void *, int, int)", state, b"", 0, room, 0, 0)
        packets = itertools.cycle(self._packets)

        def step() -> dict[str, float]:
            batch = list(itertools.islice(packets, BATCH))
            began = time.thread_time()
            for packet in batch:
                decode(state, packet, len(packet), room, speech.UPLINK_RATE // FRAMES_PER_SECOND, 0)
            return {"decode": each(time.thread_time() - began - nothing())}

        return step

    def _encode(self) -> Callable[[], dict[str, float]]:
        encode, room = self._opus.opus_encode, C.new("char[]", 1500)
        state = C.new("char[]", self._opus.opus_encoder_get_size(1))
        assert self._opus.opus_encoder_init(state, speech.DOWNLINK_RATE, 1, AUDIO) == 0
        for request, value in SETTINGS:
            assert self._opus.opus_encoder_ctl(state, request, C.cast("int32_t", value)) == 0
        nothing = self._nothing("int(*)(void *, const char *, int, void *, int32_t)", state, b"", 0, room, 0)
        frames = itertools.cycle(self._frames)

        def step() -> dict[str, float]:
            batch = list(itertools.islice(frames, BATCH))
            began = time.thread_time()
            for frame in batch:
                encode(state, frame, len(frame) // 2, room, 1500)
            return {"encode": each(time.thread_time() - began - nothing())}

        return step

    def _srtp(self) -> Callable[[], dict[str, float]]:
        kind = pylibsrtp.Policy.SSRC_SPECIFIC
        sessions = [pylibsrtp.Session(pylibsrtp.Policy(key=KEY, ssrc_type=kind, ssrc_value=1)) for _ in range(2)]
        size, number = ffi.new("int *"), 0

        def step() -> dict[str, float]:
            nonlocal number
            protect, unprotect = (session._srtp[0] for session in sessions)
            batch = []
            for _ in range(BATCH):
                payload = self._red[number % len(self._red)]
                header = HEADER.pack(0x80, 63, number & 0xFFFF, number * STEP & 0xFFFFFFFF, 1)
                batch.append((ffi.new("char[]", header + payload + bytes(16)), 12 + len(payload)))
                number += 1
            began = time.thread_time()
            for buffer, length in batch:
                size[0] = length
                lib.srtp_protect(protect, buffer, size)
            middle = time.thread_time()
            for buffer, length in batch:
                size[0] = length + SRTP_TAG
                lib.srtp_unprotect(unprotect, buffer, size)
            end = time.thread_time()
            for buffer, _ in batch:
                size[0] = 0  # too short for a header: refused at the door
                lib.srtp_protect(protect, buffer, size)
            nothing = time.thread_time() - end
            return {"protect": each(middle - began - nothing), "unprotect": each(end - middle - nothing)}

        return step

    def _datagrams(self, stack: contextlib.ExitStack) -> Callable[[], dict[str, float]]:
        here, there = (stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2))
        for end in (here, there):
            end.bind(("127.0.0.1", 0))
        here.connect(there.getsockname())
        there.connect(here.getsockname())
        return self._exchange(here, there, len(self._red[0]) + 30, "sendto", "recvfrom")

    def _messages(self, stack: contextlib.ExitStack) -> Callable[[], dict[str, float]]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            here = stack.enter_context(socket.create_connection(server.getsockname()))
            there = stack.enter_context(server.accept()[0])
        for end in (here, there):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = self._exchange(here, there, UP_MESSAGE, "ws_send", "")
        down = self._exchange(there, here, DOWN_SHARE * DOWN_FRAMES, "", "ws_recv", BATCH // DOWN_FRAMES)
        return lambda: up() | down()

    def _exchange(
        self, sender: socket.socket, receiver: socket.socket, size: int, send: str, receive: str, count: int = BATCH
    ) -> Callable[[], dict[str, float]]:
        """A batch of sends, then a batch of receives, by the C library's own calls."""
        data, room = bytes(size), C.new("char[]", size)
        into, out_of, libc = sender.fileno(), receiver.fileno(), self._libc
        nothing = self._nothing("ssize_t(*)(int, const char *, size_t, int)", 0, data, 0, 0)

        def step() -> dict[str, float]:
            began = time.thread_time()
            for _ in range(count):
                libc.send(into, data, size, 0)
            middle = time.thread_time()
            for _ in range(count):
                libc.recv(out_of, room, size, socket.MSG_WAITALL)
            end = time.thread_time()
            calls = nothing() * count / BATCH
            spent = {send: middle - began - calls, receive: end - middle - calls}
            return {name: each(seconds, count) for name, seconds in spent.items() if name}

        return step


def each(seconds: float, count: int = BATCH) -> Microseconds:
    return seconds / count * 1e6


async def main() -> None:
    await serve({"measure": Floor().measure})


if __name__ == "__main__":
    asyncio.run(main())
