"""`python -m bench.plots FIGURES.json…`: the documents' plots, from what `--json` of the bench wrote.

SVG by hand, each in a light and a dark variant, because GitHub shows either by the reader's theme. Whoever cannot see
them is told the figures in their description; whoever sees no colours has shapes and labels.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent.parent / "docs" / "plots"
WIDTH: Final = 720
FONT: Final = "-apple-system, BlinkMacSystemFont, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif"
OURS, STOCK = "the relay", "aiortc’s own path"
CALLS: Final = "calls on one core, both talking, that keep up"

Rows = dict[str, dict[str, Any]]
Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours: of Okabe and Ito's palette, darkened or lightened until text in them can be read (4.5 : 1)."""

    name: str
    ink: str
    faint: str
    line: str
    ours: str
    stock: str
    paper: str


LIGHT: Final = Theme("light", "#1f2328", "#59636e", "#d1d9e0", "#0068a8", "#b34700", "#ffffff")
DARK: Final = Theme("dark", "#f0f6fc", "#9198a1", "#30363d", "#62b6f0", "#f0a04b", "#0d1117")


class Missing(Exception):
    """The figures that a plot needs were not measured; the text names the row."""


def read(paths: Sequence[Path]) -> Rows:
    """The rows of all files by name; of two with one name the last."""
    return {row["name"]: row for path in paths for row in json.loads(path.read_text())}


def figure(rows: Rows, name: str, side: str = "values") -> float:
    """The median of a row, of our `values` or of the `stock` path's. Raises `Missing`."""
    values = rows.get(name, {}).get(side)
    if not values:
        raise Missing(name)
    return float(statistics.median(values))


# -- drawing -------------------------------------------------------------------------------------------------


def svg(theme: Theme, height: int, title: str, description: str, body: Sequence[str]) -> str:
    """A whole picture."""
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
            f' role="img" aria-labelledby="title description" font-family="{FONT}" font-size="13" fill="{theme.ink}">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            *body,
            "</svg>\n",
        )
    )


def text(x: float, y: float, words: str, **style: object) -> str:
    """One line of text; `style` are attributes, with _ for -."""
    return f'<text x="{x:g}" y="{y:g}"{attributes(style)}>{escape(words)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="{colour}"/>'


def attributes(style: dict[str, object]) -> str:
    return "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())


def curve(points: Points, colour: str, paper: str, *, hollow: bool = False, thin: bool = False) -> list[str]:
    """A line through the points, with a mark on all but the first, which nobody measured: squares, or dots."""
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="4 3"' if thin else ""
    drawn = [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{1.5 if thin else 2.5}"{dash}/>']
    fill = paper if hollow or thin else colour
    for x, y in points[1:]:
        if hollow:
            shape = f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"'
        else:
            shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3 if thin else 4}"'
        drawn.append(f'{shape} fill="{fill}" stroke="{colour}" stroke-width="{1.5 if thin else 2}"/>')
    return drawn


# -- loss ----------------------------------------------------------------------------------------------------

LOSSES: Final = (1, 5, 10, 20, 30)
FEC_LOSSES: Final = (5, 10, 20)
MOST_LOSS: Final = 30
FLAWLESS: Final = 4.64  # the most that PESQ-wb gives
PANEL_TOP, PANEL_HEIGHT, PANEL_WIDTH = 52, 190, 252
PANELS: Final = (50, 411)  # where each begins


def loss(rows: Rows, theme: Theme) -> str:
    """How much of a voice the model is given, and how good it is, by the share of packets lost."""
    given, given_stock = ([(0.0, 100.0), *_by_loss(rows, "delivered", side)] for side in ("values", "stock"))
    good, good_stock = ([(0.0, FLAWLESS), *_by_loss(rows, "PESQ-wb", side)] for side in ("values", "stock"))
    fec = [(float(n), figure(rows, f"uplink FEC, {n} % lost: PESQ-wb")) for n in FEC_LOSSES]

    def duration(share: float) -> float:
        return PANEL_TOP + PANEL_HEIGHT * (1 - share / 100)

    def quality(score: float) -> float:
        return PANEL_TOP + PANEL_HEIGHT * (FLAWLESS - score) / (FLAWLESS - 1)

    body = [
        *_panel(theme, PANELS[0], "How much of a voice arrives", duration, (0, 50, 100), "{:g} %"),
        *_panel(theme, PANELS[1], "How good it is (PESQ, 4.6 is flawless)", quality, (1, 2, 3, 4), "{:g}"),
    ]
    for left, scale, ours, stock in ((PANELS[0], duration, given, given_stock), (PANELS[1], quality, good, good_stock)):
        body += curve(_placed(stock, left, scale), theme.stock, theme.paper, hollow=True)
        if ours is good:
            body += curve(_placed([(0.0, FLAWLESS), *fec], left, scale), theme.ours, theme.paper, thin=True)
        body += curve(_placed(ours, left, scale), theme.ours, theme.paper)
    body += _loss_labels(theme, given, given_stock, good, good_stock, fec, duration, quality)
    told = "; ".join(
        f"at {n:g} % {mine:.0f} % of the duration at PESQ {score:.1f}, with aiortc {theirs:.0f} % at {other:.1f}"
        for (n, mine), (_, theirs), (_, score), (_, other) in zip(
            given[1:], given_stock[1:], good[1:], good_stock[1:], strict=True
        )
    )
    title = "What the model is given of a voice while packets are lost at random"
    return svg(theme, 300, title, f"Packets lost, and what the relay gives the model: {told}.", body)


def _by_loss(rows: Rows, what: str, side: str) -> Points:
    return [(float(n), figure(rows, f"uplink RED+FEC, {n} % lost: {what}", side)) for n in LOSSES]


def _placed(points: Points, left: float, scale: Callable[[float], float]) -> Points:
    return [(left + PANEL_WIDTH * x / MOST_LOSS, scale(y)) for x, y in points]


def _panel(
    theme: Theme, left: float, title: str, scale: Callable[[float], float], steps: Sequence[float], form: str
) -> list[str]:
    """Title, lines to read heights by, and the axis of losses."""
    indent = 8 + 8 * len(form.format(steps[-1]))
    bottom = PANEL_TOP + PANEL_HEIGHT
    drawn = [text(left - indent, 18, title, font_size=15, font_weight=600)]
    for step in steps:
        drawn.append(rule(left, scale(step), left + PANEL_WIDTH, scale(step), theme.line))
        drawn.append(text(left - 8, scale(step) + 4, form.format(step), text_anchor="end", fill=theme.faint))
    for n in (0, 10, 20, 30):
        label = "no loss" if n == 0 else f"{n} %"
        drawn.append(
            text(left + PANEL_WIDTH * n / MOST_LOSS, bottom + 22, label, text_anchor="middle", fill=theme.faint)
        )
    drawn.append(
        text(left + PANEL_WIDTH / 2, bottom + 42, "packets lost at random", text_anchor="middle", fill=theme.faint)
    )
    return drawn


def _loss_labels(
    theme: Theme,
    given: Points,
    given_stock: Points,
    good: Points,
    good_stock: Points,
    fec: Points,
    duration: Callable[[float], float],
    quality: Callable[[float], float],
) -> list[str]:
    """Names beside the lines and the last figure of each."""
    first, second = PANELS
    end = PANEL_WIDTH + 9

    def at(x: float, y: float, words: str, colour: str, **style: object) -> str:
        return text(x, y, words, fill=colour, font_weight=600, **style)

    def middle(left: float, points: Points, scale: Callable[[float], float], n: float) -> tuple[float, float]:
        return left + PANEL_WIDTH * n / MOST_LOSS, scale(dict(points)[n])

    ours_x, ours_y = middle(first, given, duration, 20)
    stock_x, stock_y = middle(first, given_stock, duration, 10)
    good_x, good_y = middle(second, good, quality, 20)
    other_x, other_y = middle(second, good_stock, quality, 10)
    fec_x, fec_y = middle(second, fec, quality, 20)
    return [
        at(ours_x, ours_y + 22, OURS, theme.ours, text_anchor="middle"),
        at(stock_x + 12, stock_y - 4, STOCK, theme.stock),
        at(good_x + 4, good_y - 12, OURS, theme.ours),
        text(
            fec_x + 9,
            fec_y + 6,
            "without RED",
            fill=theme.ours,
            stroke=theme.paper,
            stroke_width=5,
            paint_order="stroke",
        ),
        at(other_x + 10, other_y - 12, STOCK, theme.stock),
        at(first + end, duration(given[-1][1]) + 5, f"{given[-1][1]:.0f} %", theme.ours),
        at(first + end, duration(given_stock[-1][1]) + 5, f"{given_stock[-1][1]:.0f} %", theme.stock),
        at(second + end, quality(good[-1][1]) + 5, f"{good[-1][1]:.1f}", theme.ours),
        at(second + end, quality(good_stock[-1][1]) + 5, f"{good_stock[-1][1]:.1f}", theme.stock),
    ]


# -- calls ---------------------------------------------------------------------------------------------------

BAR_LEFT, BAR_WIDTH, BAR_HEIGHT, BAR_STEP, BAR_TOP = 146, 520, 26, 42, 40


def calls(rows: Rows, theme: Theme) -> str:
    """How many calls one core carries."""
    ours, stock = figure(rows, CALLS), figure(rows, CALLS, "stock")
    floor = rows[CALLS].get("floor")
    bars = [
        (STOCK, "", stock, theme.stock, False),
        (OURS, f"{ours / stock:.0f} times as many", ours, theme.ours, False),
    ]
    if floor is not None:
        bars.append(
            (
                "the ceiling",
                "what libopus, libsrtp and the kernel alone leave room for",
                float(floor),
                theme.faint,
                True,
            )
        )
    most = max(value for _, _, value, _, _ in bars)
    body = [text(0, 18, "Calls that one core carries, both sides talking all the time", font_size=15, font_weight=600)]
    for number, (name, more, value, colour, hollow) in enumerate(bars):
        top, width = BAR_TOP + number * BAR_STEP, BAR_WIDTH * value / most
        style = f'fill="none" stroke="{colour}" stroke-dasharray="4 3"' if hollow else f'fill="{colour}"'
        body += [
            f'<rect x="{BAR_LEFT}" y="{top}" width="{width:.1f}" height="{BAR_HEIGHT}" rx="2" {style}/>',
            text(
                BAR_LEFT - 12,
                top + 18,
                name,
                text_anchor="end",
                fill=theme.faint if hollow else colour,
                font_weight=600,
            ),
            text(BAR_LEFT + width + 9, top + 19, f"{value:.0f}", fill=colour, font_weight=600, font_size=15),
        ]
        if more and hollow:
            body.append(text(BAR_LEFT + 10, top + 18, more, fill=theme.faint))
        elif more:
            body.append(text(BAR_LEFT + 10, top + 18, more, fill=theme.paper))
    told = f"{STOCK} {stock:.0f} calls, {OURS} {ours:.0f}"
    told += f"; what libopus, libsrtp and the kernel alone take would leave room for {floor:.0f}" if floor else ""
    height = BAR_TOP + len(bars) * BAR_STEP - 10
    return svg(theme, height, "Calls that one core carries, both sides talking all the time", f"{told}.", body)


# -- path ----------------------------------------------------------------------------------------------------

PATH_SCALE: Final = 11.6  # pixels a microsecond
PATH_STEP, PATH_BAR, WORDS_A_LINE = 116, 26, 6
WAYS: Final = {"up": "Up, from the microphone to the model", "down": "Down, from the model to the loudspeaker"}
IN_C: Final = ("libopus", "libsrtp", "kernel")

Stages = list[tuple[str, str, float]]  # way, name, microseconds


def path(stages: Stages, theme: Theme) -> str:
    """Where the microseconds of a packet go, in the order in which it passes."""
    body, told = [], []
    for number, (way, title) in enumerate(WAYS.items()):
        steps = [(name.partition(":")[0], spent) for which, name, spent in stages if which == way]
        top, left, total = 12 + number * PATH_STEP, 0.0, sum(spent for _, spent in steps)
        body.append(text(0, top + 6, f"{title}: {total:.0f} µs a packet", font_size=15, font_weight=600))
        for name, spent in steps:
            width = PATH_SCALE * spent
            colour = _kind(name, theme)
            body.append(
                f'<rect x="{left:.1f}" y="{top + 18}" width="{width:.1f}" height="{PATH_BAR}" fill="{colour}"'
                f' stroke="{theme.paper}"/>'
            )
            left += width
        words = [f'<tspan fill="{_kind(name, theme)}">{name} {spent:.1f}</tspan>' for name, spent in steps]
        for row in range(0, len(words), WORDS_A_LINE):
            arrow = " →" if row + WORDS_A_LINE < len(words) else ""
            line = " → ".join(words[row : row + WORDS_A_LINE]) + arrow
            body.append(f'<text x="0" y="{top + 64 + 20 * row // WORDS_A_LINE}">{line}</text>')
        told.append(f"{title}, microseconds: " + ", ".join(f"{name} {spent:.1f}" for name, spent in steps))
    return svg(theme, 2 * PATH_STEP - 28, "Where the microseconds of a packet go", "; ".join(told) + ".", body)


def _kind(name: str, theme: Theme) -> str:
    """libopus; other C and the kernel; our Python."""
    return theme.ours if name == "libopus" else theme.faint if name in IN_C else theme.stock


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.plots", description="Draw the documents' plots.")
    parser.add_argument("figures", type=Path, nargs="*", help="what --json of the bench wrote")
    parser.add_argument("--stages", type=Path, help="what --json of bench.stages wrote")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the plots go (docs/plots)")
    options = parser.parse_args()
    rows = read(options.figures)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, draw in (("loss", loss), ("calls", calls)) if options.figures else ():
        for theme in (LIGHT, DARK):
            try:
                drawn = draw(rows, theme)
            except Missing as missing:
                print(f"{name} is not drawn: nobody measured {missing}", file=sys.stderr)
                break
            (options.folder / f"{name}-{theme.name}.svg").write_text(drawn, encoding="utf-8")
    for theme in (LIGHT, DARK) if options.stages is not None else ():
        drawn = path(json.loads(options.stages.read_text()), theme)
        (options.folder / f"path-{theme.name}.svg").write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
