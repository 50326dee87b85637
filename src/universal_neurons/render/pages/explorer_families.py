"""Explanations of each neuron by labels, and its twin in the model, as data of the explorer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from universal_neurons.measures.families import ANY, EXPLAINED
from universal_neurons.measures.labels import BEFORE
from universal_neurons.render.escaping import token_text
from universal_neurons.render.pages.explorer_data import scores, token_ids

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from universal_neurons.measures.families import Explanations
    from universal_neurons.measures.labels import Labels

# How many of the tokens that have a label are named.
NAMED = 6


def family_numbers(table: Explanations) -> npt.NDArray[np.uint8]:
    """The number of the family that explains a neuron (neuron,), from 1 on in the table's order; 0 for none."""
    numbers = {family: number for number, family in enumerate(table.families, start=1)}
    explained = table.score(ANY) > EXPLAINED
    found = [numbers.get(family, 0) if one else 0 for family, one in zip(table.family(), explained, strict=True)]
    return np.array(found, dtype=np.uint8)


def explained_neurons(table: Explanations, nearest: pd.DataFrame, starts: npt.NDArray[Any]) -> dict[str, Any]:
    """For every neuron the best label of each family and its score in both halves, and its twin (neuron, ...).

    A label is a row of the labels, their number for none; a twin is the flat number of another neuron, whose layer
    begins at ``starts``, and -1 for none.
    """
    frame, count = table.frame, len(table.labels)
    labels = np.stack([frame[f"{family}_label"].to_numpy() for family in table.families], axis=1)
    halves = [frame[f"{family}_{half}"].to_numpy() for family in table.families for half in ("first", "second")]
    layer, number = (nearest[name].to_numpy(dtype=np.int64) for name in ("other_layer", "other_neuron"))
    return {
        "label": token_ids(labels, count),
        "explained": scores(np.stack(halves, axis=1)),
        "twin": np.where(layer < 0, -1, starts[np.maximum(layer, 0)] + number).astype(np.int32),
        "twinBy": scores(nearest["correlation"].to_numpy()),
    }


def named_labels(labels: Labels, vocabulary: int) -> dict[str, Any]:
    """The names of all labels, and the first tokens that have each (label, token); ``vocabulary`` for no token."""
    tokens = np.full((len(labels), NAMED), -1, dtype=np.int64)
    kinds = labels.frame["of"].to_numpy()
    for kind in ("token", f"{BEFORE}token"):
        for label, flags in zip(np.flatnonzero(kinds == kind), labels.flags(kind), strict=True):
            having = np.flatnonzero(flags)[:NAMED]
            tokens[label, : len(having)] = having
    names = [token_text(labels.name(label)) for label in range(len(labels))]
    return {"names": names, "having": token_ids(tokens, vocabulary)}
