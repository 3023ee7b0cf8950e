"""The certificate of HTTPS: one of our own made, one that the owner has read and judged. Nothing waits here.

Our own is what browsers take without further conditions but one, that a person says once that she trusts it: P-256,
every name and address in it (RFC 5280 §4.2.1.6), at most 397 days (CA/Browser Forum BR §6.3.2), for servers only.
"""

import contextlib
import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from relay.config import ConfigError

LIFE: Final = timedelta(days=397)  # what browsers allow
EARLIER: Final = timedelta(days=1)  # it holds already for a phone whose clock is slow
MAX_FILE_BYTES: Final = 256 * 1024  # a chain of ten has 20 KiB
SUBJECT: Final = "gemini-relay"


def make(names: Iterable[str], now: datetime) -> bytes:
    """A new key and a certificate of it for these host names and addresses, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SUBJECT)])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now - EARLIER + LIFE)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return private + made.public_bytes(serialization.Encoding.PEM)


def _general_name(name: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(name))
    return x509.DNSName(name)


@dataclass(slots=True)
class Identity:
    """Who we are to a browser: what a file of ours or of the owner's says, and the TLS context that shows it.

    ``ConfigError`` with a sentence for files that cannot be used. `load` reads them again: connections made from then
    on are shown what is new.
    """

    certificate: Path
    key: Path | None = None  # None: it is in the same file
    context: ssl.SSLContext = field(init=False, repr=False)
    names: tuple[str, ...] = field(init=False)  # host names and addresses, in lower case, wildcards left out
    fingerprint: str = field(init=False)  # SHA-256, as browsers write it
    ends: datetime = field(init=False)
    self_signed: bool = field(init=False)  # nobody else vouches for it

    def __post_init__(self) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self.load()

    def load(self) -> None:
        """Read the files; what was there before stays when they are wrong."""
        try:
            found = x509.load_pem_x509_certificates(_read(self.certificate))[0]
        except ValueError:
            raise ConfigError(f"{self.certificate} holds no certificate in PEM.") from None
        where = self.key or self.certificate
        if _private_key(where).public_key() != found.public_key():
            raise ConfigError(f"The key in {where} is not the key of the certificate in {self.certificate}.")
        try:
            self.context.load_cert_chain(self.certificate, where, password=lambda: b"")
        except ssl.SSLError as exc:
            why = (exc.reason or "unknown reason").replace("_", " ").lower()
            raise ConfigError(f"TLS cannot use the certificate in {self.certificate}: {why}.") from None
        except OSError as exc:
            raise ConfigError(f"{self.certificate} cannot be read: {exc.strerror}.") from None
        self.names = _names(found)
        self.fingerprint = found.fingerprint(hashes.SHA256()).hex(":").upper()
        self.ends = found.not_valid_after_utc
        self.self_signed = found.issuer == found.subject

    def over(self, now: datetime | None = None) -> bool:
        """Has it ended?"""
        return self.ends <= (now or datetime.now(UTC))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.") from None
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{path} is too large for a certificate or a key.")
    return content


def _private_key(path: Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(_read(path), password=None)
    except TypeError:  # what the library raises for a missing passphrase
        raise ConfigError(f"The key in {path} is locked by a passphrase, which nobody is here to type.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path} holds no private key in PEM.") from None


def _names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        given = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    hosts = (name.lower() for name in given.get_values_for_type(x509.DNSName) if "*" not in name)
    return (*hosts, *map(str, given.get_values_for_type(x509.IPAddress)))
