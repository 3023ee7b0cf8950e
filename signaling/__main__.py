"""`python -m signaling` and `gemini-relay`: read the settings, start, print one address, run until told to stop."""

import asyncio
import contextlib
import functools
import io
import logging
import os
import socket
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relay.config import WILDCARDS, Config, ConfigError, is_loopback, load
from signaling import logs
from signaling.drain import Leave, cut_off, cut_off_by_signals, drain
from signaling.garbage import Garbage
from signaling.model import Studio, load_agent
from signaling.sockets import check_ice_addresses, listen, listen_for_https, listen_for_metrics, open_udp_port
from signaling.standin import StandIn, StandInFailed, command

if TYPE_CHECKING:
    from signaling.https import Https

log = logging.getLogger("signaling")


def main() -> int:
    """The whole process; the exit code is 0 after a wanted stop, 2 for wrong settings, 1 for a failure of ours.

    As `gemini-relay doctor` it looks whether calls would work: 0 if so, else 1.
    """
    try:
        read_env_file(Path(".env"), os.environ)
        arguments = sys.argv[1:]
        asks = arguments[:1] == ["doctor"]
        config = load(arguments[asks:], os.environ)
        # not into a journal; but nobody else could tell the owner a token that is of our own making
        shows_token = sys.stdout.isatty() or config.access_token is None
        if config.lan and not asks:
            from signaling.lan import settled  # what makes certificates takes its time to import

            config = settled(config)
        level = "error" if asks and config.log_level != "debug" else config.log_level
        logs.start(level, filter(None, (config.api_key, config.access_token, config.turn_secret)))
        with asyncio.Runner(loop_factory=quickest_loop()) as runner:
            if asks:
                from signaling.doctor import doctor

                return runner.run(doctor(config))
            runner.run(run(config, shows_token))
        cut_off_by_signals()  # threads of the owner's may go on
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return 2
    except StandInFailed as exc:
        print(exc, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before the handler stood
        pass
    except Exception:
        log.critical("the relay cannot go on", exc_info=True)
        return 1
    return 0


def quickest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed, for it wakes for a datagram in two thirds of the time; else asyncio's own."""
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


def read_env_file(path: Path, environ: MutableMapping[str, str]) -> None:
    """Put what `.env` says into `environ`, where that says nothing; a file that cannot be read stops the start."""
    if not path.exists():
        return
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        text = path.read_text(encoding="utf-8")
        for line in parse_stream(io.StringIO(text)):
            if line.error:
                raise ConfigError(f"{path} cannot be understood in line {line.original.line}.")
        for name, value in dotenv_values(stream=io.StringIO(text)).items():
            environ.setdefault(name, value or "")
    except (OSError, ValueError):
        raise ConfigError(f"{path} cannot be read: it must be a text file of NAME=value lines.") from None


async def run(config: Config, shows_token: bool) -> None:
    """From settings to a served address, until SIGINT or SIGTERM; then the calls end, and everything is closed."""
    leave = Leave(cut_off).on_signals()
    async with contextlib.AsyncExitStack() as stack:
        standin: StandIn | None = None
        if config.model == "local":
            standin = StandIn(command(config))  # first of all, so that it starts while we import
            stack.push_async_callback(standin.close)
            await standin.start()
        sockets = listen(config)
        for sock in sockets:
            stack.callback(sock.close)
        secure, metrics_sockets = listen_for_https(config), listen_for_metrics(config)
        for sock in (*secure, *metrics_sockets):
            stack.callback(sock.close)
        check_ice_addresses(config)
        https: Https | None = None
        if secure:
            from signaling import https as front

            https = front.Https(config, secure[0].getsockname()[1])
        if (port := await open_udp_port(config, sockets[0].getsockname()[1])) is not None:
            stack.callback(port.close)
        studio = Studio(config, standin, load_agent(config.agent) if config.agent else None, port)
        stack.push_async_callback(studio.close)
        garbage = Garbage(studio.metrics, lambda: studio.speaking)
        stack.callback(garbage.close)
        from signaling.app import House, serving  # aiohttp takes half of the start
        from signaling.doctor import Checkup
        from signaling.registry import Registry

        registry = Registry(config.max_calls, studio.overloaded, studio.unaffordable)
        checkup = Checkup(config, lambda: studio.tier, studio.silent)
        house = House(
            config=config, maker=studio.maker, registry=registry, speaker=studio, refused=studio.metrics.refuse,
            https=https, checks=lambda: checkup.summary,
        )  # fmt: skip
        await stack.enter_async_context(serving(house, sockets, secure))
        if metrics_sockets:
            from signaling.scrape import Figures, scraping  # Prometheus' client comes with it

            figures = Figures(studio.metrics, registry, studio, port.board if port is not None else None)
            await stack.enter_async_context(scraping(figures, config, metrics_sockets))
            log.info("metrics at %s/metrics", address_of(config.metrics_host, metrics_sockets[0]))
        if standin is not None and not await leave.unless_asked(standin.ready()):
            return
        warn(config)
        log.info("listening on %s, the model is %s", where(config, sockets[0], https), config.speaker)
        shown = functools.partial(announce, config, sockets[0], https, shows_token=shows_token)
        shown()
        if https is not None:
            await stack.enter_async_context(front.watching(https, shown))
        await stack.enter_async_context(checkup.looking())
        await until_asked(leave.asked, studio, garbage)
        await drain(registry, config.drain, leave)
        log.info("stopping")


async def until_asked(to_leave: asyncio.Event, studio: Studio, garbage: Garbage) -> None:
    """Wait for the signal; a warm-up that fails is one too, because no call could ever be made."""
    asked = asyncio.create_task(to_leave.wait())
    try:
        await asyncio.wait((asked, studio.warm_up()), return_when=asyncio.FIRST_COMPLETED)
        if not to_leave.is_set():
            await studio.warm_up()
            garbage.start()  # what is there now stays
            await asked
    finally:
        asked.cancel()


def announce(config: Config, sock: socket.socket, https: "Https | None", *, shows_token: bool) -> None:
    """Print the address to open; for phones as a QR code, too. A token that is not shown has its place marked."""
    address = link(config, sock, https) if shows_token else where(config, sock, https)
    print(f"Ready. Open {address}" + ("" if shows_token else "/#token=<your access token>"), flush=True)
    if https is not None:
        from signaling.invitation import in_words

        print(in_words(https, address, colours=sys.stdout.isatty()), flush=True)


def where(config: Config, sock: socket.socket, https: "Https | None" = None) -> str:
    """The address as a link without any secret."""
    if config.public_url:
        return config.public_url
    return https.base if https is not None else address_of(config.host, sock)


def address_of(host: str, sock: socket.socket) -> str:
    """The link to what listens on `sock`, by the name that its owner gave."""
    host = "localhost" if host in WILDCARDS else host
    return f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"


def link(config: Config, sock: socket.socket, https: "Https | None" = None) -> str:
    """What the owner opens; the token stands in the fragment, which browsers send to nobody."""
    token = f"/#token={config.access_token.reveal()}" if config.access_token is not None else ""
    return where(config, sock, https) + token


def warn(config: Config) -> None:
    """What is allowed but probably not meant."""
    if config.public_url and not config.trusted_proxies:
        log.warning("--public-url without --trusted-proxy: all callers share one rate limit, the proxy's")
    if config.public_url and config.access_token is None:
        log.warning("--public-url without --access-token: whoever reaches the proxy may spend your key")
    if config.metrics_port is not None and not is_loopback(config.metrics_host):
        log.warning("--metrics-host beyond loopback: whoever reaches that port reads the figures")
    upstream = urlsplit(config.gemini_url)
    if (
        config.model == "gemini"
        and config.api_key
        and upstream.scheme == "ws"
        and not is_loopback(upstream.hostname or "")
    ):
        log.warning("--gemini-url has no TLS: the key travels in the clear")


if __name__ == "__main__":
    sys.exit(main())
