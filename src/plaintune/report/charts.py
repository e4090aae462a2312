"""The report's pictures, drawn by matplotlib as SVG whose colours are the page's own (light and dark)."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as OutlinePath
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

# Colours that no one would choose stand for the page's variables, and are replaced by them in the SVG.
COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--soft)",
    "#030303": "var(--line)",
    "#040404": "var(--accent)",
    "#050505": "var(--second)",
}
INK, SOFT, LINE, ACCENT, SECOND = COLOURS
WIDTH, HEIGHT = 5.0, 2.9  # inches; a figure is shown at about 460 pixels, so 9 points are easily read
MOST_NAMED = 20  # answers whose names fit beside a confusion matrix
SHADES = 20  # of the cells of a confusion matrix
SQUARE = 0.48 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
MOST_BARS = 24
NOTABLY_MORE = 1.5  # times as many examples as were tried
UNKNOWN_SIGNS = r"Glyph \d+ |Matplotlib currently does not support"  # warnings: the reader's font has them
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "plaintune",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # "$10-$20" is a name like any other
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@rc_context(STYLE)
def sweep(told: Mapping[str, Any]) -> str:
    """The loss at each learning rate tried, the pick marked."""
    figure, axes = _axes()
    losses = np.array(told["losses"], dtype=float)  # nan where training broke
    axes.plot(told["rates"], losses, color=ACCENT, linewidth=2)
    axes.set_xscale("log")
    best, first = float(np.nanmin(losses)), float(losses[np.isfinite(losses)][0])
    axes.set_ylim(best - 0.05 * (first - best + 0.1), first + 0.5 * (first - best + 0.1))
    axes.axvline(told["pick"], color=SECOND, linewidth=2, linestyle=(0, (4, 2)))
    axes.annotate(
        f"taken: {told['pick']:.1e}", (told["pick"], axes.get_ylim()[1]), color=SECOND, fontweight="bold",
        xytext=(-6, -10), textcoords="offset points", ha="right",
    )  # fmt: skip
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    return _svg(figure, "Loss at each learning rate tried")


@rc_context(STYLE)
def history(told: Mapping[str, Any]) -> str:
    """Loss and share right while training, with the passes over the data and where every layer joins in."""
    steps, losses, right = (np.array(column) for column in zip(*told["seen"], strict=True))
    has_right = right[0] is not None
    figure = Figure(figsize=(WIDTH, HEIGHT + (1.3 if has_right else 0)))
    parts = figure.subplots(2 if has_right else 1, 1, sharex=True, squeeze=False)[:, 0]
    parts[0].plot(steps, _smooth(losses.astype(float)), color=ACCENT, linewidth=2)
    parts[0].set_ylabel("loss")
    parts[0].set_ylim(bottom=0)
    if has_right:
        parts[1].plot(steps, _smooth(right.astype(float)), color=SECOND, linewidth=2)
        parts[1].set_ylabel("right before learning")
        parts[1].yaxis.set_major_formatter(PercentFormatter(1))
    per_pass = told["steps_per_pass"]
    for axes in parts:
        for number in range(1, int(steps[-1] // per_pass) + 1):
            axes.axvline(number * per_pass, color=SOFT, linewidth=0.8, linestyle=(0, (2, 3)))
    if not told.get("second"):  # there every layer has moved before
        for axes in parts:
            axes.axvline(0, color=INK, linewidth=1.2)
        parts[0].annotate(
            "every layer starts to move", (0, 1), xycoords=("data", "axes fraction"), color=INK, fontsize=8,
            xytext=(-2, 3), textcoords="offset points",
        )  # fmt: skip
    parts[-1].set_xlabel("training steps (dotted: every text was seen once more)")
    return _svg(figure, "Loss and right answers while training")


@rc_context(STYLE)
def confusion(told: Mapping[str, Any], classes: Sequence[str]) -> str:
    """Rows: the true answer; columns: the one given; the darker, the more of the row."""
    size = len(classes)
    counts = np.zeros((size, size))
    for truth, given, rows in told["cells"]:
        counts[truth, given] = rows
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    inches = 4.4 if size > 6 else 3.4
    figure = Figure(figsize=(max(WIDTH, inches), inches))
    axes = figure.add_subplot()
    axes.grid(False)
    _draw_cells(axes, share)
    for truth, given in np.argwhere(counts > 0):
        if size <= MOST_NAMED and (size <= 10 or truth != given):
            axes.text(
                given, truth, f"{counts[truth, given]:.0f}", ha="center", va="center", color=INK,
                fontsize=9 if size <= 10 else 6,
            )  # fmt: skip
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_aspect("equal")
    names = [shortened(name, 16) for name in classes] if size <= MOST_NAMED else []
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answer given")
    axes.set_ylabel("true answer")
    return _svg(figure, "Which answers are mixed up")


@rc_context(STYLE)
def confidence(bins: Sequence[Mapping[str, Any]], *, across: str, upwards: str) -> str:
    """How sure against how often right: on the diagonal it is as good as its word.

    ``across`` and ``upwards`` are what the axes are called.
    """
    figure, axes = _axes()
    low = min(0.5, *(b["mean"] for b in bins), *(b["interval"][0] for b in bins))
    axes.plot([low, 1], [low, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    _with_intervals(axes, [b["mean"] for b in bins], bins)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel(across)
    axes.set_ylabel(upwards)
    return _svg(figure, "Confidence against truth")


@rc_context(STYLE)
def lengths(bins: Sequence[Mapping[str, Any]], *, about: str) -> str:
    """How often right, by the length of the text in words."""
    figure, axes = _axes()
    places = range(len(bins))
    _with_intervals(axes, places, bins)
    names = [f"{b['low']:.0f}–{b['high']:.0f}" if b["low"] < b["high"] else f"{b['low']:.0f}" for b in bins]
    axes.set_xticks(list(places), names)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("words in the text")
    axes.set_ylabel(about)
    return _svg(figure, "How often right, by length of text")


@rc_context(STYLE)
def learning_curve(told: Mapping[str, Any]) -> str:
    """The score of cheap models by how many examples they learn from, and what twice as many would bring."""
    figure, axes = _axes()
    sizes, scores = told["sizes"], told["scores"]
    axes.plot(sizes, scores, color=ACCENT, linewidth=2, marker="o")
    low, high = told["interval"]
    rows = told["rows"]
    reached = told.get("reached", scores[-1])  # reports of older releases lack it
    far = rows > NOTABLY_MORE * sizes[-1]
    ahead = [rows] if far else []
    doubt = [[told["gain"] - low], [high - told["gain"]]]
    axes.errorbar(
        [2 * rows], [reached + told["gain"]], yerr=doubt, color=SECOND, marker="o", linewidth=2, capsize=3
    )
    if far:
        axes.plot(ahead, [reached], color=SECOND, marker="o")
    axes.plot(
        [sizes[-1], *ahead, 2 * rows], [scores[-1], *([reached] * far), reached + told["gain"]], color=SECOND,
        linestyle=(0, (2, 2)),
    )  # fmt: skip
    axes.annotate(
        "with twice\nas many", (2 * rows, reached + low), color=SECOND,
        xytext=(0, -26), textcoords="offset points", ha="center",
    )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([*sizes, *ahead, 2 * rows])
    if told["percent"]:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.margins(x=0.1, y=0.2)
    axes.set_xlabel("examples learned from")
    axes.set_ylabel("score of cheap models")
    return _svg(figure, "What more examples bring")


@rc_context(STYLE)
def by_class(rows: Sequence[Mapping[str, Any]]) -> str:
    """For each answer, the share of its texts that were found; of many, those with the lowest."""
    shown = sorted((row for row in rows if row["share"] is not None), key=lambda row: row["share"])
    shown = shown[:MOST_BARS]
    figure = Figure(figsize=(WIDTH, 0.9 + 0.21 * max(3, len(shown))))
    axes = figure.add_subplot()
    places = np.arange(len(shown))[::-1]
    shares = np.array([row["share"] for row in shown])
    ends = np.array([row["interval"] for row in shown])
    axes.barh(places, shares, color=ACCENT, height=0.62, alpha=0.85)
    axes.errorbar(
        shares, places, xerr=[shares - ends[:, 0], ends[:, 1] - shares], fmt="none", ecolor=INK, elinewidth=1
    )
    axes.set_yticks(places, [f"{shortened(row['name'], 24)} ({row['rows']})" for row in shown])
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("found of its texts (line: 95% sure)")
    return _svg(figure, "How well each answer is found")


@rc_context(STYLE)
def numbers(told: Mapping[str, Any]) -> str:
    """True against told numbers; the band is the interval that predictions come with."""
    figure, axes = _axes(height=3.6)
    truth, given = np.array(told["truth"]), np.array(told["told"])
    ends = np.array([min(truth.min(), given.min()), max(truth.max(), given.max())])
    axes.fill_between(ends, ends - told["half_width"], ends + told["half_width"], color=ACCENT, alpha=0.12)
    axes.plot(ends, ends, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
    axes.scatter(truth, given, s=9, color=ACCENT, alpha=0.6, linewidths=0)
    axes.set_xlabel("true number")
    axes.set_ylabel("number given")
    return _svg(figure, "True numbers against the ones given")


def shortened(name: str, most: int) -> str:
    """A name that fits beside an axis."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _axes(height: float = HEIGHT) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height))
    return figure, figure.add_subplot()


def _draw_cells(axes: Axes, share: np.ndarray[Any, Any]) -> None:
    """A square for each share above nothing; one path for each shade, as thousands of paths fill a page."""
    shades = np.ceil(share * SHADES).astype(int)
    diagonal = np.eye(len(share), dtype=bool)
    for colour, where in ((ACCENT, diagonal), (SECOND, ~diagonal)):
        for shade in np.unique(shades[where & (share > 0)]):
            places = np.argwhere(where & (shades == shade))[:, ::-1]
            squares = [OutlinePath(place + SQUARE, closed=True) for place in places]
            outline = OutlinePath.make_compound_path(*squares)
            alpha = 0.08 + 0.62 * float(shade) / SHADES
            axes.add_patch(PathPatch(outline, color=colour, alpha=alpha, linewidth=0))


def _with_intervals(axes: Axes, places: Any, bins: Sequence[Mapping[str, Any]]) -> None:
    shares = np.array([b["share"] for b in bins])
    ends = np.array([b["interval"] for b in bins])
    axes.errorbar(
        list(places), shares, yerr=[shares - ends[:, 0], ends[:, 1] - shares], color=ACCENT, marker="o",
        linewidth=2, elinewidth=1, capsize=2,
    )  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _smooth(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A running mean over a twentieth of the points."""
    width = max(1, len(values) // 20)
    kernel = np.ones(width) / width
    padded = np.concatenate([np.full(width - 1, values[0]), values])
    return np.convolve(padded, kernel, mode="valid")


def _svg(figure: Figure, title: str) -> str:
    """The figure as an element for an HTML page: named for screen readers, in the page's colours."""
    written = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", UNKNOWN_SIGNS)
        figure.tight_layout(pad=0.4)
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r'(?<=<svg )[^>]*?(viewBox="[^"]*")[^>]*',
        rf'\1 role="img" aria-label="{escape(title)}"',
        svg,
        count=1,
    )
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg
