"""The page of a match as a widget of a notebook, whose search Python can read and set (anywidget)."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import ExtraMissing
from universal_neurons.matching.page import page

if TYPE_CHECKING:
    from universal_neurons.matching.directions import MatchedPair


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
        _esm = Path(__file__).with_name("widget.js").read_text(encoding="utf-8")
        page = traitlets.Unicode("").tag(sync=True)
        height = traitlets.Int(600).tag(sync=True)
        search = traitlets.Unicode("").tag(sync=True)
        found = traitlets.Int(-1).tag(sync=True)

    return PairExplorer
