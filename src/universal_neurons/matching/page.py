"""The page of a match: one file without any request, in which every neuron of both models can be found.

And the same as a widget of a notebook, whose search Python can read and set (anywidget).
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.errors import ExtraMissing
from universal_neurons.matching.figure import svg
from universal_neurons.matching.settings import THRESHOLD
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.html.checks import content_policy
from universal_neurons.render.templates import filled_html

if TYPE_CHECKING:
    from universal_neurons.matching.directions import MatchedDirection, MatchedPair
    from universal_neurons.measurement import Measurement

_FOLDER = Path(__file__).parent
# Rows of the table that a page draws at a time, and decimals of a correlation.
_SHOWN, _PLACES = 200, 3


def page(result: MatchedPair) -> str:
    """The whole page; names of models are text in it, whatever they hold."""
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    directions = (result.forward, result.backward)
    data = {"shown": _SHOWN, "places": _PLACES, "directions": [_columns(direction) for direction in directions]}
    values: dict[str, Any] = {
        "policy": content_policy(script),
        "title": " and ".join(model.name for model in result.models),
        "summary": Html(summary(result)),
        "directions": [str(direction) for direction in directions],
        "data": Html(_island(data)),
        "script": Html(script),
    }
    return filled_html(_FOLDER, "page.html", values)


def _island(value: object) -> str:
    # Nothing in the text may end the element that holds it.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")


def _columns(direction: MatchedDirection) -> dict[str, Any]:
    table, ranks = direction.table, direction.influence.shape[2]
    prefixes = ["partner", *(f"partner_{rank}" for rank in range(2, ranks + 1))]
    correlations = ["correlation", *(f"correlation_{rank}" for rank in range(2, ranks + 1))]
    plain = {name: _numbers(table[source]) for name, source in (
        ("baseline", "baseline"), ("excess", "excess"), ("low", "excess_low"), ("high", "excess_high"),
    )}  # fmt: skip
    return {
        "layer": table["layer"].tolist(),
        "neuron": table["neuron"].tolist(),
        "partner_layer": [table[f"{prefix}_layer"].tolist() for prefix in prefixes],
        "partner_neuron": [table[f"{prefix}_neuron"].tolist() for prefix in prefixes],
        "correlation": [_numbers(table[name]) for name in correlations],
        **plain,
    }


def _numbers(column: Any) -> list[float | None]:
    rounded = np.round(column.to_numpy(dtype=np.float64), 5)
    return [None if np.isnan(value) else float(value) for value in rounded]


def summary(result: MatchedPair) -> str:
    """What was compared, the shares of both directions with intervals, and the figure, as HTML without script."""
    rows = "".join(
        f"<tr><td class='name'>{html_text(name)}</td>{_share(share)}</tr>" for name, share in result.shares().items()
    )
    models = "; ".join(
        f"{html_text(one.name)}: {len(one.widths)} layers, {sum(one.widths):,} neurons" for one in result.models
    )
    pooled = f"the {'value at the last token' if result.settings.pooling == 'last' else 'mean'} of each span"
    level = f"{result.settings.level:.0%}".replace("%", " per cent")
    return (
        f"<p class='note'>{models}.  {result.spans:,} spans of text in {result.rows:,} rows; {pooled}; "
        f"{result.settings.draws} rotations ({html_text(result.settings.rotation)}); intervals of {level} over "
        f"{result.blocks} blocks of text.</p>"
        "<div class='wide' tabindex='0' role='region' aria-label='Shares'><table><thead><tr>"
        f"<th class='name' scope='col'>direction</th><th scope='col'>share above an excess of {THRESHOLD:g}</th>"
        "<th scope='col'>interval</th><th scope='col'>on each half</th>"
        "<th scope='col'>neurons</th>"
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
        f"<div class='wide' tabindex='0' role='region' aria-label='Correlations and layers'>{svg(result)}</div>"
    )


def _share(share: Measurement) -> str:
    halves = " and ".join(f"{share.details[half]:.1%}" for half in ("half_a", "half_b")) if share.details else ""
    return (
        f"<td>{share.value:.1%}</td><td>{share.low:.1%} to {share.high:.1%}</td><td>{halves}</td><td>{share.n:,}</td>"
    )


def explorer(result: MatchedPair, *, height: int) -> Any:
    """The widget; the page in it is the one that ``to_html`` writes, in a frame of its own."""
    if find_spec("anywidget") is None:
        raise ExtraMissing("the widget of a match", "anywidget", extra="notebook")
    return _widget_class()(page=page(result), height=height)


@cache
def _widget_class() -> Any:
    """The class, made where it is first used: the base installation has no anywidget."""
    import anywidget
    import traitlets

    class PairExplorer(anywidget.AnyWidget):
        _esm = (_FOLDER / "widget.js").read_text(encoding="utf-8")
        page = traitlets.Unicode("").tag(sync=True)
        height = traitlets.Int(600).tag(sync=True)
        search = traitlets.Unicode("").tag(sync=True)
        found = traitlets.Int(-1).tag(sync=True)

    return PairExplorer
