"""The common parts of a report's plots: colors, frames, and SVG for inlining in the page.

Text stays text, so that it is searchable, scales, and takes the page's typeface.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvmopt.pipeline.errors import RuntimeMissingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {
    "pytorch": "#6b7280",
    "pytorch-compile": "#a3a9b3",
    "tensorflow": "#8a8f98",
    "tensorflow-xla": "#b7bbc2",
    "mxnet": "#868fae",
    "onnxruntime": "#2f6690",
    "openvino": "#3a8f85",
    "opencv": "#6a6ad0",
    "ncnn": "#5b6fb5",
    "mnn": "#2a9cc4",
    "litert": "#5f9e52",
    "openvino-throughput": "#5aa69d",
    "openvino-fp16": "#7fbdb5",
    "onnxruntime-int8": "#9dbcd4",
    "openvino-int8": "#a5d0ca",
    "litert-int8": "#b4d3ab",
    "tvmopt-int8-untuned": "#f0d3bf",
    "tvmopt-int8": "#dda48f",
    "tvmopt-untuned": "#e5a57a",
    "tvmopt": "#c2502e",
}
"""A runtime's color in all plots: the framework grey, peers cool (INT8 pale), ours warm."""

INK, SOFT, FAINT = "#1f2933", "#52606d", "#d5dae1"
"""Colors of text and marks, of secondary text, and of grids."""

WIDTH_IN = 7.6
_OTHER_COLOR = "#8c7aa9"


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot with its caption; the caption also serves as its text alternative."""

    title: str
    caption: str
    svg: str


def draw_plot(title: str, caption: str, salt: str, draw: Callable[[], Figure | None]) -> Plot | None:
    """Draws a plot in the report's style; None if `draw` returns None.

    Args:
        title: the plot's title.
        caption: the plot's caption.
        salt: makes identifiers within the drawing unique on the page.
        draw: returns the figure.

    Raises:
        RuntimeMissingError: when matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise RuntimeMissingError("plots need matplotlib: pip install 'tvmopt[compare]'") from None
    settings: Any = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 9.0}
    with mpl.rc_context(settings | {"svg.hashsalt": f"{salt}{title}"}), warnings.catch_warnings():
        # The typeface here only measures text; the page uses its own, with a fallback for missing glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = draw()
        return None if figure is None else Plot(title, caption, _svg(figure))


def make_figure(lines: int, columns: int, height_in: float) -> tuple[Figure, list[Axes]]:
    """An empty figure as wide as the page's text, and its axes row by row."""
    # Not pyplot, which keeps figures alive and selects a window system.
    from matplotlib.figure import Figure as Canvas
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Canvas(figsize=(WIDTH_IN, height_in), layout=ConstrainedLayoutEngine(h_pad=0.09))
    axes = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    return figure, axes


def plain_frame(place: Axes) -> None:
    """Removes the frame except the axis lines."""
    for side in ("top", "right", "left"):
        place.spines[side].set_visible(side == "left")
    for side in ("left", "bottom"):
        place.spines[side].set_color("#9aa5b1")
    place.tick_params(colors=INK, labelsize=8.5, width=0.6)


def color_of(runtime: str) -> str:
    """The runtime's color; unknown runtimes share one."""
    return COLORS.get(runtime, _OTHER_COLOR)


def power(exponent: int) -> str:
    """A power of ten: ``10⁻³``."""
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _svg(figure: Figure) -> str:
    for place in figure.axes:
        if not place.has_data():
            place.set_visible(False)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
