"""Checks of what lies beyond this machine: the model and its key, the clock, TURN servers, the proxy in front.

Asking the model opens a Live session and closes it again: nothing is said in it, and nothing is billed.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from relay.config import Config
from relay.errors import ModelFault, RelayError
from relay.ice import IceServer
from relay.turn_server import TurnServer
from signaling.findings import Finding

ASK_SECONDS: Final = 5.0  # for one answer over HTTP, or of a TURN server
CLOCK_SECONDS: Final = 60.0  # a credential for TURN is good for ten times as long
MAX_BYTES: Final = 64 * 1024  # of an answer
NAME: Final = "doctor"  # in the TURN server's log

# What an owner does about a fault of the model's; the others are put right by waiting.
_DO: Final = {
    "key-missing": "Set GEMINI_API_KEY.",
    "key-refused": "Check GEMINI_API_KEY: that it is whole, and that it may use the Gemini API.",
    "model-not-found": "Check --gemini-model and --gemini-api-version; not every key may use every model.",
    "quota": "Wait, or raise the quota of the key's project.",
    "setup-refused": "Check --voice and --language.",
    "model-unreachable": "Check this machine's network, name service and firewall: it must reach TCP 443 of the model.",
    "model-timeout": "Check this machine's network; something on the way may swallow WebSockets.",
}


async def model(config: Config) -> list[Finding]:
    """Does the model take a call, with this key?"""
    async with contextlib.AsyncExitStack() as stack:
        if config.model == "gemini":
            url, key = config.gemini_url, config.api_key
        else:
            from signaling.standin import StandIn, StandInFailed

            standin = StandIn()
            stack.push_async_callback(standin.close)
            try:
                await standin.start()
                await standin.ready()
            except StandInFailed as exc:
                return [Finding("model", str(exc), "Reinstall the relay: pip install .", grave=True)]
            url, key = standin.url, None
        from relay.agent import Agent
        from relay.gemini.client import LiveClient
        from relay.gemini.handshake import Target

        target = Target(url, config.gemini_model, config.gemini_api_version, key)
        asked = Agent().live_config(config.gemini_model, voice=config.voice, language=config.language)
        client, began = LiveClient(target, asked, lambda event: None, lambda fault: None), time.monotonic()
        stack.push_async_callback(client.close)
        try:
            await client.connect()
        except RelayError as fault:
            return [of_model(fault)]
        name = "the stand-in" if config.model == "local" else config.gemini_model
        return [Finding("model", f"{name} took a call after {time.monotonic() - began:.1f} s.")]


async def key(config: Config) -> list[Finding]:
    """Is Google there, and does it take the key? Asked by its list of models, which is no call."""
    if config.speaker != "gemini" or config.api_key is None:
        return []
    return [await ask_key(config.gemini_url, config)]


async def ask_key(base: str, config: Config) -> Finding:
    """The same of any server that speaks Google's REST; a model that it does not list may be there all the same."""
    import aiohttp

    from relay.gemini import service

    assert config.api_key is not None
    parts = urlsplit(base)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    way = f"/{config.gemini_api_version}/models/{config.gemini_model}"
    headers = {"x-goog-api-key": config.api_key.reveal()}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ASK_SECONDS)) as http,
            http.get(f"{scheme}://{parts.netloc}{way}", headers=headers, allow_redirects=False) as answer,
        ):
            status, body = answer.status, (await answer.content.read(MAX_BYTES)).decode("utf-8", "replace")
    except (aiohttp.ClientError, TimeoutError, OSError):
        return of_model(ModelFault("model-unreachable"))
    code = service.refusal_fault(status, body) if status >= 400 else ""
    if code in ("key-refused", "quota") or status >= 500:
        return of_model(ModelFault(code))
    return Finding("model", "Google takes the key.")


def of_model(fault: RelayError) -> Finding:
    """What is to be done about a model that did not take a call."""
    return Finding("model", fault.fault.sentence, _DO.get(fault.code, "Try again later."), grave=True)


async def clock(config: Config) -> list[Finding]:
    """Does this machine know what time it is?"""
    off: float | None = None
    for address in _somebody(config):
        if (off := await _seconds_off(address)) is not None:
            break
    if off is None:
        return [Finding("clock", "Nobody was there to compare it with.")]
    says = f"It is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}." if abs(off) >= 1 else "It is right."
    if abs(off) < CLOCK_SECONDS:
        return [Finding("clock", says)]
    do = "Set it, best by NTP (timedatectl set-ntp true): certificates and TURN credentials depend on it."
    return [Finding("clock", says, do, grave=bool(config.turn))]


def _somebody(config: Config) -> Iterator[str]:
    """Who may tell the time."""
    if config.model == "gemini":
        parts = urlsplit(config.gemini_url)
        yield urlunsplit(({"ws": "http", "wss": "https"}[parts.scheme], parts.netloc, "/", "", ""))
    if config.public_url:
        yield f"{config.public_url}/healthz"


async def _seconds_off(address: str) -> float | None:
    """How far our clock is ahead of that server's; None if it does not say."""
    import aiohttp

    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError, TypeError):
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ASK_SECONDS)) as http,
            # an expired certificate is what a wrong clock makes of a good one; the answer is used for nothing else
            http.head(address, allow_redirects=False, ssl=False) as answer,
        ):
            return time.time() - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    return None


async def servers(config: Config) -> list[Finding]:
    """Does each STUN and TURN server answer, by each way to it, and take our credentials?"""
    asked = list(config.ice_servers)
    if config.turn and config.turn_secret is not None:
        asked.append(TurnServer(config.turn, config.turn_secret).server(NAME, time.time()))
    ways = [(server, url) for server in asked for url in server.urls]
    return list(await asyncio.gather(*(_server(server, url) for server, url in ways)))


async def _server(server: IceServer, url: str) -> Finding:
    from signaling.ask_turn import ask

    what = "TURN" if url.startswith("turn") else "STUN"
    began = time.monotonic()
    try:
        async with asyncio.timeout(ASK_SECONDS):
            where = await ask(server, url)
    except TimeoutError:
        do = f"Check its name and port, and that this machine may send there; {what} servers listen on 3478."
        return Finding(what, f"{url} does not answer.", do, grave=True, url=url)
    except PermissionError:
        do = "Check username and credential in --ice-servers."
        if server.username.endswith(f":{NAME}"):
            do = "Check --turn-secret against the server's static-auth-secret, and the clocks of both."
        return Finding(what, f"{url} refuses the credentials.", do, grave=True, url=url)
    except OSError as exc:
        do = "Check its name and port, and for turns: its certificate."
        why = exc.strerror or type(exc).__name__
        return Finding(what, f"{url} cannot be reached: {why}.", do, grave=True, url=url)
    took = round(1000 * (time.monotonic() - began))
    says = f"{url} lends {where}" if what == "TURN" else f"{url} sees us at {where}"
    return Finding(what, f"{says}, after {took} ms.", url=url)


async def proxy(config: Config) -> list[Finding]:
    """Does --public-url lead here? Only a relay that runs can be found by it."""
    if not config.public_url:
        return []
    import aiohttp

    what, address = "public URL", f"{config.public_url}/healthz"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(ASK_SECONDS)) as http,
            http.get(address, allow_redirects=False) as answer,
        ):
            told = await answer.json(content_type=None) if answer.status in (200, 503) else None
    except aiohttp.ClientConnectorCertificateError:
        do = "Give the proxy a certificate that browsers trust; Caddy gets one by itself."
        return [Finding(what, f"{config.public_url} shows a certificate that is not trusted.", do, grave=True)]
    except aiohttp.ClientConnectorDNSError:
        do = "Make a name service entry that leads to the proxy."
        return [Finding(what, f"{config.public_url} has no address.", do, grave=True)]
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        do = "Start the proxy, open its port, and ask again; from inside some networks their own public name is dark."
        return [Finding(what, f"{config.public_url} does not answer.", do)]
    if isinstance(told, dict) and "accepting" in told:
        return [Finding(what, f"{config.public_url} leads to the relay.")]
    do = "Start the relay and ask again, or check where the proxy sends its requests."
    return [Finding(what, f"{config.public_url} answers, but not with the relay's words.", do)]
