"""Made-up explanations of the neurons of a model by labels of every family."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from universal_neurons.measures.families import ANY, ELSEWHERE, EXPLAINED_BY, LETTERS, Explanations
from universal_neurons.measures.labels import Labels, packed

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILIES = ("unigram", "predicate", "syntax", "position", "domain", "previous")
KINDS = ("token", "token", "place", "position", "domain", "previous token")


def made_explanations(
    model: str, layer: Any, neuron: Any, explained: Any, *, seed: Sequence[int], prefix: str = ""
) -> Explanations:
    """Explanations of random numbers, in which two thirds of the ``explained`` neurons have a letter.

    ``prefix`` begins the name of every label.
    """
    dice = np.random.default_rng(list(seed))
    labels = pd.DataFrame(
        {
            "name": [f"{prefix}{name}" for name in (*LETTERS, *FAMILIES[1:])],
            "family": ["unigram"] * len(LETTERS) + list(FAMILIES[1:]),
            "of": ["token"] * len(LETTERS) + list(KINDS[1:]),
            "row": 0,
            "count": 100,
        }
    )
    letter = dice.integers(0, len(LETTERS), len(layer))
    found = {"unigram": letter} | {
        family: np.full(len(layer), len(LETTERS) + at) for at, family in enumerate(FAMILIES[1:])
    }
    scores = {family: dice.uniform(0, 0.2, len(layer)) for family in FAMILIES}
    scores["unigram"] = np.where(np.asarray(explained) & (dice.random(len(layer)) < 2 / 3), 0.8, scores["unigram"])
    scores["position"] = np.where((np.asarray(layer) == 0) & (np.asarray(neuron) < 3), 0.9, scores["position"])
    stacked = np.stack([scores[family] for family in FAMILIES])
    best = stacked.argmax(axis=0)
    found[ANY] = np.stack([found[family] for family in FAMILIES])[best, np.arange(len(layer))]
    scores[ANY] = stacked.max(axis=0)
    columns: dict[str, Any] = {"layer": layer, "neuron": neuron}
    for name in (*FAMILIES, ANY):
        columns |= {f"{name}_label": found[name], f"{name}_first": scores[name], f"{name}_second": scores[name]}
        columns[f"{name}_{ELSEWHERE}"] = scores[name] / 10
    columns[f"{ANY}_label_{ELSEWHERE}"] = found[ANY]
    for name in EXPLAINED_BY:
        share = np.minimum(scores["position" if name == "position" else "unigram"] + 0.1, 1)
        columns |= {f"{name}_share": share, f"{name}_share_{ELSEWHERE}": share / 10}
    above = np.flatnonzero(scores["unigram"] > 0.25)
    carried = {
        "label": letter[above],
        "layer": layer[above],
        "number": neuron[above],
        "score": scores["unigram"][above],
    }
    return Explanations(model, 1, pd.DataFrame(columns), pd.DataFrame(), pd.DataFrame(carried), labels, FAMILIES, 0.95)


def made_labels(table: Explanations, vocabulary: int) -> Labels:
    """Labels with the names of ``table``: the n-th one of tokens is true of every n-th token."""
    frame = table.labels.assign(row=np.arange(len(table.labels)))
    step = np.arange(vocabulary) % np.arange(1, len(frame) + 1)[:, None] == 0
    return Labels(frame, {"token": packed(step)}, {"token": vocabulary})


def made_duplicates(layer: Any, neuron: Any) -> pd.DataFrame:
    """The next neuron of the layer is the nearest; the very first neuron has none."""
    width = int(np.max(neuron)) + 1
    found = {"correlation": 0.25 + 0.5 * np.asarray(neuron) / width, "other_layer": layer}
    frame = pd.DataFrame({"layer": layer, "neuron": neuron, **found, "other_neuron": (np.asarray(neuron) + 1) % width})
    frame.loc[0, ["correlation", "other_layer", "other_neuron"]] = [np.nan, -1, -1]
    return frame
