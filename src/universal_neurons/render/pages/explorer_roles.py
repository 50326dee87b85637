"""The part of the explorer's data about what neurons do: to the next token, to entropy, and to attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from universal_neurons.measures.attention import PATH_CORRELATIONS
from universal_neurons.measures.entropy import CLAMPS
from universal_neurons.measures.predictions import WritingRole, neuron_roles
from universal_neurons.render.figures.charts import finite
from universal_neurons.render.pages.explorer_data import scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from universal_neurons.measures.attention import AttentionTables
    from universal_neurons.measures.entropy import EntropyTables, NeuronsBelow
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


def acts(
    entropy: EntropyTables, below: NeuronsBelow | None, attention: AttentionTables, starts: Sequence[int]
) -> dict[str, Any]:
    """What setting neurons to their mean or to values does, and those that turn a head off or on, with scatters.

    ``below``: neurons of the layer before the last, None of a single layer.  ``starts``: the flat number of each
    layer's first neuron.  Of each head that rests on the first position the neuron with the largest and the smallest
    relative score; arrays are (head and neuron, point).
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
    own = entropy.of("neuron")
    last = own.assign(neuron=starts[-1] + own["source"])
    lower = pd.DataFrame() if below is None else _lower_neurons(below, starts)
    means = last if below is None else pd.concat([last, lower[lower["value"].isna()]])
    clamps = entropy.clamps[entropy.clamps["role"] != "planted"]
    return {
        "values": list(CLAMPS),
        "clamps": [
            *_clamps(clamps.assign(neuron=starts[-1] + clamps["source"])),
            *(() if below is None else _clamps(lower.dropna(subset=["value"]))),
        ],
        "ofLast": len(last),
        "meanOf": means["neuron"].to_numpy(np.int32),
        "meanEntropy": means["entropy_change"].to_numpy(np.float32),
        "meanSize": means["total"].to_numpy(np.float32),
        "meanMediated": scores(means["mediated"].to_numpy(np.float64)),
        "heads": heads,
        "points": len(activation[0]) if activation else 0,
        "activation": np.array(activation, dtype=np.float32).ravel(),
        "attention": np.array(change, dtype=np.float32).ravel(),
    }


def _lower_neurons(below: NeuronsBelow, starts: Sequence[int]) -> pd.DataFrame:
    """The rows of the layer before the last in the columns of the last one, with the mediated share of each value."""
    table = below.table
    flat = np.array(starts)[table["source_layer"].to_numpy(np.int64)] + table["source_neuron"].to_numpy(np.int64)
    total = table["total"].to_numpy(np.float64)
    direct = np.divide(table["direct"].to_numpy(np.float64), total, out=np.full(len(table), np.nan), where=total > 0)
    return table.assign(
        neuron=flat, entropy=table["entropy_change"], scale=1 + table["scale_change"], mediated=1 - direct
    )


def _clamps(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Of every neuron that was set to :data:`CLAMPS`: entropy in nats above what it is at 0, scale, and so on."""
    found = []
    for _, own in rows.groupby(["neuron", "role"], sort=False):
        role = str(own["role"].iloc[0])
        entropy = own["entropy"].to_numpy(np.float64)
        columns = {"entropy": entropy - entropy[CLAMPS.index(0.0)], "scale": own["scale"], "kept": own["first_kept"]}
        if "mediated" in own:
            columns["mediated"] = own["mediated"]
        said = {name: [finite(round(float(one), 4)) for one in values] for name, values in columns.items()}
        opposed = {"cosine": round(float(own["cosine"].iloc[0]), 4)} if role == "opposed" else {}
        found.append({"neuron": int(own["neuron"].iloc[0]), "role": role, **said, **opposed})
    return found
