"""The figure of a match: each direction's correlations beside its baseline, and the layers that partners lie in."""

from __future__ import annotations

import io
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.characters import visible
from universal_neurons.render.escaping import Html
from universal_neurons.render.figures.drawing import load_matplotlib
from universal_neurons.render.figures.style import Colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from universal_neurons.matching.directions import MatchedDirection, MatchedPair

_BINS = np.linspace(-0.2, 1.0, 61)


def figure(result: MatchedPair) -> Figure:
    """Two rows, one per direction: a histogram, and a map of layers against layers of the best partners."""
    load_matplotlib()
    drawn = _figure_class()(figsize=(9, 6.4), layout="constrained")
    axes = drawn.subplots(2, 2, width_ratios=(3, 2))
    for row, direction in zip(axes, (result.forward, result.backward), strict=True):
        _histogram(row[0], direction)
        _layers(row[1], direction)
    return drawn


@cache
def _figure_class() -> type[Figure]:
    from matplotlib.figure import Figure as MatplotlibFigure

    class ShownFigure(MatplotlibFigure):
        """Shows itself in a notebook; matplotlib's own figure does so only where something has imported pyplot."""

        def _repr_png_(self) -> bytes:
            stream = io.BytesIO()
            self.savefig(stream, format="png")
            return stream.getvalue()

    return ShownFigure


def _histogram(axes: Any, direction: MatchedDirection) -> None:
    for name, colour, filled in (("baseline", Colour.MUTED, False), ("correlation", Colour.BLUE, True)):
        values = direction.frame[name].dropna().to_numpy()
        axes.hist(values, bins=_BINS, color=colour.value, histtype="stepfilled" if filled else "step", label=name)
    axes.set_title(_short(direction), loc="left", fontsize="medium")
    axes.set_xlabel("largest correlation of a neuron")
    axes.set_ylabel("neurons")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _layers(axes: Any, direction: MatchedDirection) -> None:
    widths = (direction.model.widths, direction.partner.widths)
    counts = np.zeros([len(layers) for layers in widths])
    paired = direction.frame[direction.frame["partner_layer"] >= 0]
    np.add.at(counts, (paired["layer"].to_numpy(), paired["partner_layer"].to_numpy()), 1)
    image = axes.imshow(
        counts / np.array(widths[0])[:, None], cmap="Blues", origin="lower", aspect="auto", vmin=0, vmax=1
    )
    axes.set_xlabel("layer of the best partner")
    axes.set_ylabel("layer")
    for axis, layers in ((axes.yaxis, widths[0]), (axes.xaxis, widths[1])):
        axis.set_ticks(range(0, len(layers), max(1, len(layers) // 6)))
    axes.figure.colorbar(image, ax=axes, label="share of the layer")


def _short(direction: MatchedDirection) -> str:
    # Matplotlib takes dollar signs for formulas.
    names = (visible(one.name).replace("$", r"\$")[-32:] for one in (direction.model, direction.partner))
    return " → ".join(names)


def svg(result: MatchedPair) -> Html:
    """The figure as SVG for a page: text stays text, and equal results give equal bytes."""
    drawn = figure(result)
    from matplotlib import rc_context

    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "match"}):
        drawn.savefig(
            stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
            transparent=True,
        )  # fmt: skip
    text = stream.getvalue()
    return Html(re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', 'width="100%"', text[text.index("<svg") :], count=1))
