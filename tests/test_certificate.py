"""The certificate of HTTPS: what browsers want of ours, and one sentence for each of the owner's that is of no use."""

import re
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from relay.config import ConfigError
from signaling.certificate import LIFE, MAX_FILE_BYTES, Identity, make

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAMES = ("localhost", "box.local", "192.168.1.5", "fd00::5")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A file with our own key and certificate."""
    path = tmp_path / "both.pem"
    path.write_bytes(make(NAMES, NOW))
    return path


def self_signed(certificate: Path, key: Path, kind: str) -> None:
    """One without any name in it, as OpenSSL makes it."""
    files = ("-keyout", str(key), "-out", str(certificate))
    command = ("openssl", "req", "-x509", "-newkey", kind, "-nodes", *files, "-subj", "/CN=nameless", "-days", "1")
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def sentence(certificate: Path, key: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        Identity(certificate, key)
    said = str(caught.value)
    assert said.endswith(".")
    assert len(said.splitlines()) == 1
    return said


def test_it_holds_every_name_and_address_for_397_days_at_most(kept: Path) -> None:
    made = x509.load_pem_x509_certificate(kept.read_bytes())
    assert made.not_valid_before_utc <= NOW - timedelta(hours=12)  # for phones whose clock is slow
    assert made.not_valid_after_utc - made.not_valid_before_utc <= LIFE
    assert timedelta(days=397) >= LIFE
    identity = Identity(kept)
    assert set(identity.names) == set(NAMES)
    assert identity.self_signed
    assert identity.ends == made.not_valid_after_utc
    assert (identity.over(identity.ends - timedelta(1)), identity.over(identity.ends)) == (False, True)


def test_it_is_p256_for_servers_and_no_authority(kept: Path) -> None:
    made = x509.load_pem_x509_certificate(kept.read_bytes())
    key = made.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    extensions = made.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_fingerprint_is_the_one_that_others_reckon(kept: Path) -> None:
    told = subprocess.run(
        ["openssl", "x509", "-in", str(kept), "-noout", "-fingerprint", "-sha256"], capture_output=True, check=True
    )
    assert told.stdout.decode().strip().endswith("=" + Identity(kept).fingerprint)


def test_two_are_never_the_same() -> None:
    assert make(NAMES, NOW) != make(NAMES, NOW)


def test_nothing_older_than_tls_1_2_is_spoken(kept: Path) -> None:
    assert Identity(kept).context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_key_and_certificate_may_be_in_two_files(kept: Path, tmp_path: Path) -> None:
    text = kept.read_text()
    at = text.index("-----BEGIN CERTIFICATE")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    key.write_text(text[:at])
    certificate.write_text(text[at:])
    assert Identity(certificate, key).fingerprint == Identity(kept).fingerprint
    assert sentence(certificate) == f"{certificate} holds no private key in PEM."


def test_a_file_that_cannot_be_used_is_one_sentence(kept: Path, tmp_path: Path) -> None:
    nothing, empty, huge, other = (tmp_path / name for name in ("nothing", "empty", "huge", "other"))
    empty.touch()
    huge.write_bytes(bytes(MAX_FILE_BYTES + 1))
    other.write_bytes(make(NAMES, NOW))
    assert sentence(nothing) == f"{nothing} cannot be read: No such file or directory."
    assert sentence(kept, nothing) == f"{nothing} cannot be read: No such file or directory."
    assert sentence(tmp_path) == f"{tmp_path} cannot be read: Is a directory."
    assert sentence(empty) == f"{empty} holds no certificate in PEM."
    assert sentence(kept, empty) == f"{empty} holds no private key in PEM."
    assert "too large" in sentence(huge)
    assert sentence(kept, other) == f"The key in {other} is not the key of the certificate in {kept}."


def test_a_key_with_a_passphrase_is_one_sentence_and_asks_nobody(kept: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked.pem"
    subprocess.run(
        ["openssl", "pkey", "-in", str(kept), "-aes256", "-passout", "pass:secret", "-out", str(locked)], check=True
    )
    assert "passphrase" in sentence(kept, locked)


def test_a_key_that_tls_does_not_take_is_one_sentence(tmp_path: Path) -> None:
    weak, key = tmp_path / "weak.pem", tmp_path / "key.pem"
    self_signed(weak, key, "rsa:1024")
    assert sentence(weak, key) == f"TLS cannot use the certificate in {weak}: ee key too small."


def test_what_is_read_again_serves_and_what_is_wrong_does_not_harm(kept: Path) -> None:
    identity = Identity(kept)
    first, context = identity.fingerprint, identity.context
    kept.write_bytes(make(("other.example",), NOW))
    identity.load()
    assert identity.fingerprint != first
    assert (identity.names, identity.context) == (("other.example",), context)
    second = identity.fingerprint
    kept.write_text("half")
    with pytest.raises(ConfigError):
        identity.load()
    assert (identity.fingerprint, identity.names) == (second, ("other.example",))


def test_an_authority_made_as_the_documents_say_makes_one_that_clients_trust(tmp_path: Path) -> None:
    told = (Path(__file__).parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")
    (script,) = (block for block in re.findall(r"```sh\n(.+?)```", told, re.DOTALL) if "openssl req -x509" in block)
    subprocess.run(["sh", "-eu", "-c", script], cwd=tmp_path, check=True, capture_output=True)
    identity = Identity(tmp_path / "relay.pem", tmp_path / "relay-key.pem")
    assert not identity.self_signed
    assert identity.ends - datetime.now(UTC) <= LIFE
    assert greeted(identity, "192.168.1.5", tmp_path / "ca.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        greeted(identity, "192.168.1.6", tmp_path / "ca.pem")


def greeted(identity: Identity, name: str, authority: Path) -> bool:
    """Whether a client that trusts `authority` finds this certificate good for `name`."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    trust = ssl.create_default_context(cafile=authority)
    client = trust.wrap_bio(down, up, server_hostname=name)
    server = identity.context.wrap_bio(up, down, server_side=True)
    waiting = [client, server]
    while waiting:
        side = waiting.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(side)
    return client.version() in ("TLSv1.2", "TLSv1.3")


def test_a_certificate_without_names_has_none(tmp_path: Path) -> None:
    certificate, key = tmp_path / "nameless.pem", tmp_path / "key.pem"
    self_signed(certificate, key, "rsa:2048")
    assert Identity(certificate, key).names == ()
