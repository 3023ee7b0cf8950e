"""A TURN server as an owner would run it: Debian's coturn, as a process in a namespace, with a shared secret.

    async with coturn(line.far, folder) as server:
        … server.url("tcp") …

It hears UDP and TCP on `PORT`, TLS on `TLS_PORT`, with a certificate made for the occasion (`server.certificate`).
"""

import asyncio
import contextlib
import datetime
import ipaddress
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.network.namespace import Namespace

T = TypeVar("T")

PORT, TLS_PORT = 3478, 5349  # the namespace is ours alone
RELAYED_PORTS: Final = (49_160, 49_360)
SECRET: Final = "shared-with-coturn"
START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 5.0


class Here:
    """This machine's loopback, as if it were a namespace; coturn sends to no loopback unless told to."""

    address = "127.0.0.1"

    @staticmethod
    def command(*words: str) -> tuple[str, ...]:
        return words

    @staticmethod
    def within(work: Callable[[], T]) -> T:
        return work()


@dataclass(frozen=True, slots=True)
class Coturn:
    """Where it is, and the certificate that it shows."""

    address: str
    certificate: Path
    port: int = PORT
    tls_port: int = TLS_PORT

    def url(self, transport: str) -> str:
        """By "udp", "tcp" or "tls"."""
        if transport == "tls":
            return f"turns:{self.address}:{self.tls_port}?transport=tcp"
        return f"turn:{self.address}:{self.port}?transport={transport}"


def obstacle() -> str:
    """Why there is none here; empty if there is."""
    return "" if shutil.which("turnserver") else "coturn is not installed"


@contextlib.asynccontextmanager
async def coturn(
    home: Namespace | Here, folder: Path, *flags: str, ports: tuple[int, int] = (PORT, TLS_PORT)
) -> AsyncIterator[Coturn]:
    """One that serves at the only address of `home`, on `ports` for plain and for TLS."""
    certificate, key = _certificate(folder, home.address)
    low, high = RELAYED_PORTS
    process = await asyncio.create_subprocess_exec(
        *home.command("turnserver"),
        "-n", "--no-cli", f"--log-file={folder / 'coturn.log'}", "--simple-log", "--no-stdout-log",
        f"--pidfile={folder / 'coturn.pid'}", f"--userdb={folder / 'coturn.db'}",
        f"--listening-ip={home.address}", f"--relay-ip={home.address}",
        f"--listening-port={ports[0]}", f"--tls-listening-port={ports[1]}", f"--min-port={low}", f"--max-port={high}",
        "--use-auth-secret", f"--static-auth-secret={SECRET}", "--realm=turn.example.org",
        f"--cert={certificate}", f"--pkey={key}", "--fingerprint", "--relay-threads=1", *flags,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_SECONDS):
            while not all(await asyncio.to_thread(home.within, lambda: _listens(home.address, ports))):
                assert process.returncode is None, "coturn did not start"
                await asyncio.sleep(0.05)
        yield Coturn(home.address, certificate, *ports)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def _listens(address: str, ports: tuple[int, int]) -> list[bool]:
    """On each of its ports."""
    there = []
    for port in ports:
        with socket.socket() as probe:
            there.append(probe.connect_ex((address, port)) == 0)
    return there


def _certificate(folder: Path, address: str) -> tuple[Path, Path]:
    """Self-signed, for that address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "turn")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "turn-cert.pem", folder / "turn-key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths
