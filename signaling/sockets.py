"""The sockets that the relay listens on, bound before anything else starts; `ConfigError` says why one cannot be."""

import errno
import functools
import os
import socket
from typing import Any

from relay.config import Config, ConfigError
from relay.webrtc.port.sockets import Port, local_addresses


def listen(config: Config) -> list[socket.socket]:
    """Listening sockets on every address of the host; `ConfigError` says why there are none."""
    return _listening(config.host, config.port, "")


def listen_for_https(config: Config) -> list[socket.socket]:
    """The same for HTTPS; empty if there is to be none."""
    return _listening(config.host, config.https_port, "https-") if config.https else []


def listen_for_metrics(config: Config) -> list[socket.socket]:
    """The same for the metrics; empty if there are to be none."""
    return [] if config.metrics_port is None else _listening(config.metrics_host, config.metrics_port, "metrics-")


def _listening(host: str, wanted: int, flag: str) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        found = socket.getaddrinfo(host, wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            # with port 0 every further address takes the port that the first one got
            port = wanted or (sockets[0].getsockname()[1] if sockets else 0)
            try:
                sockets.append(_bound(family, (address[0], port, *address[2:])))
            except OSError as exc:
                if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = exc  # localhost is ::1 too, also where there is no IPv6
        if missing is not None and not sockets:
            raise missing
    except OSError as exc:
        for sock in sockets:
            sock.close()
        raise ConfigError(_why_not(host, wanted, flag, exc)) from None
    return sockets


def _bound(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def _why_not(host: str, port: int, flag: str, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use: choose another with --{flag}port."
    if exc.errno == errno.EACCES:
        return f"Port {port} on {host} needs more rights: choose one above 1023 with --{flag}port."
    if isinstance(exc, socket.gaierror) or exc.errno == errno.EADDRNOTAVAIL:
        return f"--{flag}host {host} is not an address of this machine."
    return f"The relay cannot listen on {host}, port {port}: {exc.strerror}."


async def open_udp_port(config: Config, tcp_port: int) -> Port | None:
    """The UDP port of all calls, None if each is to have its own; `ConfigError` says why there is none.

    Unless it is chosen it has the number of `tcp_port`; if that was any free one, any free one will do.
    """
    if not config.one_udp_port:
        return None
    addresses = config.ice_addresses or functools.partial(local_addresses, loopback=config.on_loopback)
    try:
        try:
            return await Port.open(addresses, config.udp_port or tcp_port, config.public_addresses)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE or config.udp_port or config.port:
                raise
            return await Port.open(addresses, 0, config.public_addresses)
    except OSError as exc:
        port, host = config.udp_port or tcp_port, exc.filename
        if exc.errno == errno.EADDRINUSE:
            raise ConfigError(f"UDP port {port} on {host} is in use: choose another with --udp-port.") from None
        if exc.errno == errno.EACCES:
            raise ConfigError(
                f"UDP port {port} on {host} needs more rights: choose one above 1023 with --udp-port."
            ) from None
        raise ConfigError(f"The relay cannot listen on {host}, UDP port {port}: {exc.strerror}.") from None


def check_ice_addresses(config: Config) -> None:
    """Each `--ice-address` must be one of ours, or no call would ever connect."""
    for text in config.ice_addresses:
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.bind((text, 0))
        except OSError:
            raise ConfigError(f"--ice-address {text} is not an address of this machine.") from None
