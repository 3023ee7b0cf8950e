"""A small device, such as an ESP32: sound and a data channel, and 4096 bytes for the whole answer to its offer."""

import asyncio
import json
from typing import Final

from aiortc import RTCPeerConnection

from tests.running import running

BUFFER_BYTES: Final = 4096  # what the sample firmware reads of an HTTP answer, headers included
ADDRESSES: Final = 16  # of this machine, each of which is a candidate


async def asked(base: str, body: bytes) -> tuple[list[str], bytes]:
    """The head's lines and the body of the answer, as they are on the wire."""
    host = base.removeprefix("http://")
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        head = f"POST /api/offer HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        answer = await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
        await writer.wait_closed()
    top, _, rest = answer.partition(b"\r\n\r\n")
    return top.decode().split("\r\n"), rest


async def test_the_whole_answer_to_a_small_devices_offer_fits_into_4096_bytes() -> None:
    device = RTCPeerConnection()
    device.addTransceiver("audio")
    device.createDataChannel("rtvi-ai")
    await device.setLocalDescription(await device.createOffer())
    offer = json.dumps({"sdp": device.localDescription.sdp, "type": "offer"}).encode()
    await device.close()
    async with running() as house:
        head, body = await asked(house.base, offer)
    headers = dict(line.lower().split(": ", 1) for line in head[1:])
    assert head[0] == "HTTP/1.1 200 OK"
    assert headers["content-length"] == str(len(body))
    assert "transfer-encoding" not in headers
    sdp = json.loads(body)["sdp"]
    (candidate,) = [line for line in sdp.splitlines() if line.startswith("a=candidate:")]
    longest = len(candidate) + len("ffff:" * 7)  # an IPv6 address instead
    size = len("\r\n".join(head)) + 4 + len(body)
    assert size + (ADDRESSES - 1) * longest <= BUFFER_BYTES
