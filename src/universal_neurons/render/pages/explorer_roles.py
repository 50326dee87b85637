"""The part of the explorer's data about what neurons do: to the next token, to entropy, and to attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from universal_neurons.measures.attention import PATH_CORRELATIONS
from universal_neurons.measures.entropy import CLAMPS
from universal_neurons.measures.predictions import WritingRole, neuron_roles
from universal_neurons.render.pages.explorer_data import scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from universal_neurons.measures.attention import AttentionTables
    from universal_neurons.measures.entropy import EntropyTables
    from universal_neurons.measures.predictions import PredictionTables

# The role of a neuron is its place in this list.
ROLES = ("", *get_args(WritingRole))


def role_arrays(tables: PredictionTables) -> dict[str, npt.NDArray[Any]]:
    """Of every neuron its role, and the test of the next token (neuron,)."""
    found = neuron_roles(tables)
    return {
        "role": np.array([ROLES.index(role) for role in found["role"]], dtype=np.uint8),
        "auc": scores(found["auc"].to_numpy(np.float64)),
        "matchedAuc": scores(found["matched_auc"].to_numpy(np.float64)),
        "positives": found["positives"].to_numpy(np.int32),
    }


def acts(entropy: EntropyTables, attention: AttentionTables, starts: Sequence[int]) -> dict[str, Any]:
    """The neurons that were set to values, and those that turn a head off or on, with the points of their scatters.

    ``starts``: the flat number of each layer's first neuron.  Of each head that rests on the first position the neuron
    with the largest and the smallest relative score; arrays are (head and neuron, point).
    """
    heads, activation, change = [], [], []
    for head in attention.sinks.to_dict("records"):
        layer, number = int(head["layer"]), int(head["head"])
        for action, role in (("deactivation", "top"), ("activation", "bottom")):
            row = attention.paths_of(layer, number, role).iloc[0]
            values = [float(row[name]) for name in PATH_CORRELATIONS]
            points = attention.points
            if points.empty or np.isnan(values).any():
                continue
            of = points[(points["layer"] == layer) & (points["head"] == number) & (points["role"] == role)]
            neuron = starts[int(row["source_layer"])] + int(row["source_neuron"])
            heads.append({"neuron": neuron, "layer": layer, "head": number, "action": action, "correlations": values})
            activation.append(of["activation"].to_numpy(np.float32))
            change.append(of["attention"].to_numpy(np.float32))
    return {
        "values": list(CLAMPS),
        "clamps": _clamps(entropy, starts[-1]),
        "heads": heads,
        "points": len(activation[0]) if activation else 0,
        "activation": np.array(activation, dtype=np.float32).ravel(),
        "attention": np.array(change, dtype=np.float32).ravel(),
    }


def _clamps(entropy: EntropyTables, first: int) -> list[dict[str, Any]]:
    """Entropy, loss and scale of every last-layer neuron that was set to :data:`CLAMPS`."""
    own = entropy.clamps[entropy.clamps["role"] != "planted"]
    return [
        {
            "neuron": first + int(rows["source"].iloc[0]),
            "candidate": str(rows["role"].iloc[0]) == "candidate",
            **{name: rows[name].astype(float).round(4).tolist() for name in ("entropy", "scale", "first_kept")},
        }
        for _, rows in own.groupby(["role", "source"], sort=False)
    ]
