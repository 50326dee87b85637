"""The neurons that a claim is about, and the links to them in the explorer.

They follow from the reference, partners, last checkpoint, threshold and layers of the claim's cases.  A claim that read
no table of neurons (about the steps of checkpoints, or rotated models alone) is about none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import numpy as np

from universal_neurons.ids import NeuronId
from universal_neurons.measures.tables import Definition, universal_flags
from universal_neurons.render.escaping import Html, html_text
from universal_neurons.render.formatting import count, decimal, listed, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.evidence.summary import ClaimSummary
    from universal_neurons.inputs.suite import Checkpoint
    from universal_neurons.measures.tables import ReferenceTables
    from universal_neurons.stages.study import StoredStudy

SHOWN = 12
# The stages whose artifacts tell neurons apart; nulls are about neurons that no explorer has.
STAGES = frozenset({"universality", "variants", "ablation", "ablation-blocks", "extensions", "extensions-blocks"})
EXPLORER = "neurons.html"


@dataclass(frozen=True)
class ClaimNeurons:
    """The neurons of ``model`` that a claim is about: universal with at least one of ``partners``.

    ``layers`` is empty for all of them; ``best`` are the first by mean excess over ``partners``, of ``number``.
    """

    model: str
    partners: tuple[str, ...]
    checkpoint: str
    threshold: float
    layers: tuple[int, ...]
    number: int
    best: tuple[NeuronId, ...]


def about(claim: ClaimSummary, study: StoredStudy, stages: Mapping[str, str]) -> ClaimNeurons | None:
    """Find the neurons of ``claim``; None for a claim about no neuron.  ``stages`` maps digests to stages.

    Raises the study's ArtifactMissing.
    """
    read = {stages.get(digest) for record in claim.items for digest in record.artifacts}
    if not read & STAGES:
        return None
    model = _named(claim.items, "reference", [study.suite.zoo.reference])[0]
    checkpoint = _last_checkpoint(claim.items, study.checkpoints)
    tables = study.reference_tables(checkpoint=checkpoint, reference=model)
    partners = tuple(name for name in _named(claim.items, "partner", tables.partners) if name in tables.partners)
    usual = study.suite.universality.threshold
    thresholds = [t for t in _named(claim.items, "threshold", [usual]) if isinstance(t, int | float)]
    threshold = usual if usual in thresholds else min(thresholds, default=usual)
    layers = tuple(sorted(layer for layer in _named(claim.items, "layer", []) if isinstance(layer, int)))
    found = _universal(tables, partners or tables.partners, threshold, layers)
    return ClaimNeurons(
        model, partners or tables.partners, checkpoint.label, threshold, layers, len(found), found[:SHOWN]
    )


def _universal(
    tables: ReferenceTables, partners: Sequence[str], threshold: float, layers: Sequence[int]
) -> tuple[NeuronId, ...]:
    """The universal neurons of the ``layers``, the largest mean excess first."""
    frame = tables.tables[partners[0]].frame
    excess = np.stack([tables.tables[name].frame["excess"].to_numpy(dtype=np.float64) for name in partners])
    flags = universal_flags(excess, threshold, Definition.UNION)
    if layers:
        flags &= frame["layer"].isin(layers).to_numpy()
    rows = np.flatnonzero(flags)
    # A neuron without a score with one of the partners comes last: its mean says nothing.
    order = rows[np.argsort(-np.nan_to_num(excess[:, rows].mean(axis=0), nan=-1.0), kind="stable")]
    layer, neuron = (frame[name].to_numpy() for name in ("layer", "neuron"))
    return tuple(NeuronId(int(layer[row]), int(neuron[row])) for row in order)


def _named(records: Sequence[EvidenceRecord], parameter: str, otherwise: Sequence[Any]) -> list[Any]:
    """The values of a parameter over all cases of a claim, once each; ``otherwise`` where it has none."""
    values = [value for record in records if isinstance(value := record.parameters.get(parameter), str | int | float)]
    return list(dict.fromkeys(values)) or list(otherwise)


def _last_checkpoint(records: Sequence[EvidenceRecord], checkpoints: Sequence[Checkpoint]) -> Checkpoint:
    """The latest checkpoint that a case names, or one at which an interval ends; the last one where none is named."""
    named = [record.parameters.get(name) for record in records for name in ("checkpoint", "interval")]
    labels = {_label(value) for value in named}
    return next((c for c in reversed(checkpoints) if c.label in labels), checkpoints[-1])


def _label(value: object) -> str:
    """The label of a checkpoint as a record keeps it, or of the end of an interval."""
    if isinstance(value, dict):
        later = value.get("later", value)
        return str(later.get("label", "")) if isinstance(later, dict) else str(later)
    return str(value)


def neurons_of(claim: ClaimNeurons | None) -> Html:
    """The links from a claim's page to its neurons; a sentence where it is about none."""
    if claim is None:
        return Html('<p class="quiet">This claim is about models or training as a whole, not about single neurons.</p>')
    where = f" in {_layers(claim.layers)}" if claim.layers else ""
    with_whom = listed(claim.partners) if len(claim.partners) == 1 else f"at least one of {listed(claim.partners)}"
    has = "has" if claim.number else "has no neuron that is"
    said = f"At {claim.checkpoint} of the training model {claim.model} {has} "
    said += f"{plural(claim.number, 'neuron')} that {'is' if claim.number == 1 else 'are'} " if claim.number else ""
    said += f"universal with {with_whom} above {decimal(claim.threshold, 2)}{where}."
    first = "" if claim.number <= len(claim.best) else f" The {count(len(claim.best))} with the largest mean excess:"
    links = "".join(f'<li><a href="{_address(claim.model, one)}">{one}</a></li>' for one in claim.best)
    shown = f'<ul class="neurons">{links}</ul>' if links else ""
    there = f'<a href="{_list_address(claim)}">The list in the explorer</a>, at the end of the training.'
    return Html(
        f'<div class="quoted"><p class="said">{html_text(said + first)}</p>{shown}<p class="source">{there}</p></div>'
    )


def _layers(layers: Sequence[int]) -> str:
    return f"{'layer' if len(layers) == 1 else 'layers'} {listed(map(str, layers))}"


def _address(model: str, neuron: NeuronId) -> str:
    """The address of a neuron in the explorer, relative to the page of a claim."""
    return f"../{EXPLORER}#{quote(model, safe='')}:{neuron}"


def _list_address(claim: ClaimNeurons) -> str:
    """The address of the closest list in the explorer, which counts partners instead of naming them."""
    asked: dict[str, Any] = {"model": claim.model, "least": 1, "above": f"{claim.threshold:g}"}
    if len(claim.layers) == 1:
        asked["layer"] = claim.layers[0]
    return html_text(f"../{EXPLORER}#?{urlencode(asked, quote_via=quote)}")
