"""The README's plots: drawn from what the bench writes, and told in words to whoever does not see them."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import plots, quality
from bench.plots import DARK, LIGHT, Missing, Rows, Theme

SVG = "{http://www.w3.org/2000/svg}"


def rows() -> Rows:
    """Figures by the names that the bench gives them."""
    figures = quality.Figures(pesq=3.25, stoi=0.99, share=87.0, p95=20.0, settled=0.0, late=0.0)
    found = {
        row.name: {"values": row.values, "stock": row.stock}
        for trouble, way, kind in quality.plan()
        if kind
        for row in quality.rows_of(trouble, way, {(trouble, way): [figures], (trouble, "stock"): [figures]})
    }
    return found | {plots.CALLS: {"values": [120.0], "stock": [15.0], "floor": 300.0}}


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize("draw", [plots.loss, plots.calls])
def test_a_plot_names_itself_and_tells_its_figures(draw: object, theme: Theme) -> None:
    assert callable(draw)
    picture = ElementTree.fromstring(draw(rows(), theme))
    assert picture.get("role") == "img"
    assert picture.findtext(f"{SVG}title")
    told = picture.findtext(f"{SVG}desc") or ""
    assert "87 %" in told if draw is plots.loss else "120" in told
    assert picture.find(f".//{SVG}style") is None, "GitHub may take it out"


def test_the_path_tells_every_step_in_its_order() -> None:
    stages = [("up", "kernel: take", 1.0), ("up", "libopus: decode", 18.0), ("down", "playout: cut", 0.9)]
    picture = ElementTree.fromstring(plots.path(stages, DARK))
    told = picture.findtext(f"{SVG}desc") or ""
    assert "kernel 1.0, libopus 18.0" in told
    assert "playout 0.9" in told
    assert len(picture.findall(f"{SVG}rect")) == len(stages)


def test_what_nobody_measured_is_not_drawn() -> None:
    with pytest.raises(Missing, match="calls on one core"):
        plots.calls({}, LIGHT)


def test_of_two_files_the_later_counts(tmp_path: Path) -> None:
    paths = [tmp_path / "first.json", tmp_path / "second.json"]
    for number, path in enumerate(paths):
        path.write_text(json.dumps([{"name": "a row", "values": [number]}]))
    assert plots.figure(plots.read(paths), "a row") == 1


def test_both_themes_are_readable() -> None:
    for theme in (LIGHT, DARK):
        for ink in (theme.ink, theme.faint, theme.ours, theme.stock):
            assert contrast(ink, theme.paper) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: of two colours as #rrggbb."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
