"""The neuron explorer: one page, and data files for every neuron that it loads on demand.

The data are ``neurons/about.js``; for each model (by its index in the suite, because a model may have any name) an
index of all neurons, the tokens they can be found by, what some of them do, and shards of :data:`PER_SHARD` neurons;
and the vocabulary.  The page itself holds no neuron, so it opens equally fast for any number of them.

Evidence holds positions of tokens and no text.  The text comes from the caller, who has the corpus
(:class:`LocalText`); without it the page shows positions and says so.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from universal_neurons.measures.ablation_table import Quantity
from universal_neurons.measures.neurons import excess_reach
from universal_neurons.measures.profiles import LEVELS, WINDOW
from universal_neurons.measures.properties import EIGHT, percentiles_in_layers, property_of
from universal_neurons.render.escaping import Html, token_text
from universal_neurons.render.figures.parent import NAMES
from universal_neurons.render.html.checks import content_policy
from universal_neurons.render.pages.explorer_data import PARTS, UNDEFINED, percentiles, scores, shard, token_ids
from universal_neurons.render.pages.explorer_families import explained_neurons, family_numbers, named_labels
from universal_neurons.render.pages.explorer_roles import ROLES, acts, role_arrays
from universal_neurons.render.templates import SUFFIX, TemplateWrong, filled_html

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from universal_neurons.inputs.suite import Checkpoint
    from universal_neurons.measures.profiles import NeuronProfiles
    from universal_neurons.stages.study import StoredStudy

PAGE = "neurons"
FOLDER = "neurons"
PER_SHARD = 256
# The tokens shown before and after a peak; how active the neuron is at them is known nearer to it (WINDOW).
CONTEXT = (20, 12)
# What the page shows of the activations and weights of a neuron, in this order.
STATISTICS = (
    "share_positive", "mean", "sd", "skewness", "kurtosis", "maximum", "input_bias", "w_in_norm", "w_out_norm",
    "cos_in_out", "vocabulary_variance", "vocabulary_skewness", "vocabulary_kurtosis",
)  # fmt: skip
STYLES = ("theme.css", "explorer.css")
SCRIPTS = ("theme.js", "explorer.js")
# Scripts beside the page: 'self' is its own server, or its own disk in browsers that see a file as an origin; file: is
# for the others.  Neither reaches a network.
BESIDE = " 'self' file:"
SOURCES = (f"{PAGE}.html{SUFFIX}", *STYLES, *SCRIPTS)

_Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class LocalText:
    """The text of the tokens, as far as it is on this machine.

    ``vocabulary`` is the text of each token id.  ``rows`` (row, position) are the token ids of the corpus whose digest
    is ``digest``; None where the corpus is not here, and then ``absence`` gives the reason in a line.
    """

    vocabulary: Sequence[str]
    rows: _Array | None = None
    digest: str = ""
    absence: str = "The text is not on the machine that built this report."

    def rows_of(self, profiles: NeuronProfiles) -> _Array | None:
        """The rows that ``profiles`` points into; None where this is another text."""
        return self.rows if self.digest == profiles.tokens else None


@dataclass(frozen=True, eq=False)
class NeuronScores:
    """Scores of a model's neurons as arrays (neuron, checkpoint, partner)."""

    excess: _Array
    reach: _Array
    is_own: _Array
    correlation: _Array
    partner: _Array  # flat number of the partner's neuron, -1 for none

    @property
    def last(self) -> _Array:
        """(partner, neuron) excess at the last checkpoint."""
        return np.ascontiguousarray(self.excess[:, -1].T)


def write_explorer(
    built: Path, templates: Path, study: StoredStudy, text: LocalText, *, conditions: Collection[str] = ()
) -> Path:
    """Write the explorer of ``study`` into the report in ``built`` and return its page.

    ``templates`` is the checkout's ``report/``, ``conditions`` those that hold of every page of this report.  Raises
    the study's ArtifactMissing, and TemplateWrong.
    """
    page = built / f"{PAGE}.html"
    page.write_text(explorer_page(templates, study, conditions), encoding="utf-8", newline="\n")
    for name, script in explorer_shards(study, text):
        target = built / FOLDER / f"{name}.js"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(script, encoding="ascii", newline="\n")
    return page


def layer_sizes(built: Path) -> dict[str, tuple[int, ...]]:
    """The sizes of the layers of every model in the explorer in ``built``, read from its data."""
    told = (built / FOLDER / "about.js").read_text(encoding="ascii")
    about = json.loads(told[told.index("{") : told.rindex("}") + 1])
    return {
        model["name"]: tuple(after - start for start, after in pairwise((*model["starts"], model["neurons"])))
        for model in about["models"]
    }


# --- the page --------------------------------------------------------------------------------------------------------


def explorer_page(templates: Path, study: StoredStudy, conditions: Collection[str] = ()) -> str:
    """The page without any neuron; raises TemplateWrong."""
    style = "".join((templates / name).read_text(encoding="utf-8") for name in STYLES)
    script = "\n" + "".join((templates / name).read_text(encoding="utf-8") for name in SCRIPTS)
    header, footer = frame((templates / "page.html").read_text(encoding="utf-8"), conditions)
    values = {
        "policy": content_policy(script, beside=BESIDE),
        "style": Html(style),
        "script": Html(script),
        "header": header,
        "footer": footer,
        "suite": study.suite.title,
    }
    return filled_html(templates, f"{PAGE}.html{SUFFIX}", values)


_CONDITION = re.compile(r"\$if\(([\w-]+)\)\$((?:(?!\$if\().)*?)\$endif\$", re.DOTALL)


def frame(page: str, conditions: Collection[str] = ()) -> tuple[Html, Html]:
    """Header and footer of ``page.html``, pandoc's template of every other page: one report, one frame.

    The template's conditions hold if they are ``on-neurons`` or among ``conditions``; its variables are empty, as at
    the report's root.
    """
    holding = {f"on-{PAGE}", *conditions}
    while _CONDITION.search(page):
        page = _CONDITION.sub(lambda found: found[2] if found[1] in holding else "", page)
    parts = [re.search(rf"<{tag}\b.*?</{tag}>", page, re.DOTALL) for tag in ("header", "footer")]
    header, footer = (re.sub(r"\$[\w-]+\$", "", part[0]) if part else "" for part in parts)
    if not header or not footer:
        raise TemplateWrong("page.html: expected one header and one footer, which the explorer shares")
    return Html(header), Html(footer)


# --- the shards ------------------------------------------------------------------------------------------------------


def explorer_shards(study: StoredStudy, text: LocalText) -> Iterator[tuple[str, str]]:
    """Every shard as its file's name without suffix and its content; raises the study's ArtifactMissing.

    A first look has no tables of what explains a neuron and of what it does; ``families`` is empty then.
    """
    models, families = study.suite.zoo.models, tuple[str, ...]()
    entries = []
    for place, model in enumerate(models):
        profiles = study.profiles(model=model)
        if model in study.suite.references:
            neurons = scores_of(study, model)
        else:
            neurons = _no_scores(study, len(profiles), checkpoints=len(_checkpoints(study)))
        rows = text.rows_of(profiles)
        layers = profiles.frame["layer"].to_numpy()
        partners = [models.index(partner) for partner in study.partners(model)]
        starts = _starts(layers)
        whole = _ranks(study.table("properties", model=model))
        family = np.zeros(len(profiles), dtype=np.uint8)
        if not study.suite.quick:
            explanations = study.table("explanations", model=model)
            family, families = family_numbers(explanations), explanations.families
            whole |= explained_neurons(explanations, study.table("duplicates", model=model), starts)
            whole |= role_arrays(study.table("predictions", model=model))
            yield f"{place}/acts", shard(f"{place}/acts", _acts(study, model, starts.tolist()))
        entries.append(
            {
                "name": model,
                "neurons": len(profiles),
                "starts": starts.tolist(),
                "partners": partners,
                "text": rows is not None,
                "compared": model in study.suite.references,
            }
        )
        yield f"{place}/index", shard(f"{place}/index", _index(profiles, neurons) | {"family": family})
        yield f"{place}/tokens", shard(f"{place}/tokens", _findable(profiles, rows, text))
        for number, start in enumerate(range(0, len(profiles), PER_SHARD)):
            chosen = slice(start, start + PER_SHARD)
            yield (
                f"{place}/{number}",
                shard(
                    f"{place}/{number}",
                    _details(profiles, neurons, rows, text, chosen)
                    | {name: array[chosen] for name, array in whole.items()},
                ),
            )
    yield "vocabulary", shard("vocabulary", {"tokens": [token_text(token) for token in text.vocabulary]})
    if families:
        yield "labels", shard("labels", named_labels(study.table("labels"), len(text.vocabulary)))
    yield "about", shard("about", {**_about(study, text), "families": list(families), "models": entries})


def _acts(study: StoredStudy, model: str, starts: list[int]) -> dict[str, Any]:
    """What setting neurons of ``model`` to values does, and those that turn its heads off and on."""
    below = study.table("entropy-below", model=model) if len(starts) > 1 else None
    return acts(study.table("entropy", model=model), below, study.table("heads", model=model), starts)


def scores_of(study: StoredStudy, model: str) -> NeuronScores:
    """The scores of the neurons of ``model`` at every checkpoint, the untrained one first.

    Untrained only the suite's reference is scored; the scores of another model are undefined there.
    """
    scored = _checkpoints(study) if model == study.reference else study.checkpoints
    every = [study.reference_tables(checkpoint=checkpoint, reference=model) for checkpoint in scored]
    starts = {table.partner: _starts(table.frame["layer"].to_numpy()) for table in every[-1].tables.values()}
    columns: dict[str, list[list[_Array]]] = {name: [] for name in ("excess", "reach", "own", "correlation", "partner")}
    for tables in every:
        of_partners = [tables.tables[name] for name in study.partners(model)]
        reaches = [excess_reach(table) for table in of_partners]
        columns["excess"].append([table.frame["excess"].to_numpy(dtype=np.float64) for table in of_partners])
        columns["correlation"].append([table.frame["correlation"].to_numpy(dtype=np.float64) for table in of_partners])
        columns["reach"].append([reach.reach for reach in reaches])
        columns["own"].append([reach.is_own for reach in reaches])
        columns["partner"].append([_flat(table.frame, starts[table.partner]) for table in of_partners])
    # (checkpoint, partner, neuron) as gathered; a neuron's own values lie together in its shard.
    found = NeuronScores(*(np.transpose(np.array(part), (2, 0, 1)) for part in columns.values()))
    before = _no_scores(study, len(found.excess), checkpoints=len(_checkpoints(study)) - len(scored))
    names = (field.name for field in fields(NeuronScores))
    return NeuronScores(*(np.concatenate([getattr(before, name), getattr(found, name)], axis=1) for name in names))


def _no_scores(study: StoredStudy, neurons: int, *, checkpoints: int) -> NeuronScores:
    """Undefined scores, of what is no reference: another model before training, or one of a narrowed suite."""
    shape = (neurons, checkpoints, len(study.suite.zoo.models) - 1)
    unknown = np.full(shape, np.nan)
    return NeuronScores(unknown, unknown, np.zeros(shape, dtype=np.bool_), unknown, np.full(shape, -1, dtype=np.int64))


def _checkpoints(study: StoredStudy) -> tuple[Checkpoint, ...]:
    return study.checkpoints if study.untrained is None else (study.untrained, *study.checkpoints)


def _starts(layers: _Array) -> _Array:
    """The flat number of each layer's first neuron; the models of a suite have the same shape."""
    return np.searchsorted(layers, np.arange(int(layers[-1]) + 1))


def _flat(frame: Any, starts: _Array) -> _Array:
    layer, neuron = (frame[name].to_numpy(dtype=np.int64) for name in ("partner_layer", "partner_neuron"))
    return np.where(layer < 0, -1, starts[np.maximum(layer, 0)] + neuron)


def _about(study: StoredStudy, text: LocalText) -> dict[str, Any]:
    suite = study.suite
    return {
        "suite": suite.title,
        "reference": suite.zoo.models.index(suite.zoo.reference),
        "threshold": suite.universality.threshold,
        "level": suite.resampling.level,
        "checkpoints": [{"label": c.label, "step": c.step, "share": c.share} for c in _checkpoints(study)],
        "shard": PER_SHARD,
        "parts": PARTS,
        "undefined": UNDEFINED,
        "vocabulary": len(text.vocabulary),
        "before": CONTEXT[0],
        "levels": list(LEVELS),
        "statistics": list(STATISTICS),
        "roles": list(ROLES),
        "properties": [{"name": NAMES[name][1], "side": side} for name, side in EIGHT.items()],
        "absence": "" if text.rows is not None else text.absence,
        "ablated": suite.profiles.ablation_rows > 0,
    }


def _index(profiles: NeuronProfiles, neurons: NeuronScores) -> dict[str, _Array]:
    """The values by which neurons are listed, filtered and sorted."""
    return {"excess": scores(neurons.last), "effect": profiles.effect(Quantity.KL)["value"].to_numpy(dtype=np.float32)}


def _ranks(table: pd.DataFrame) -> dict[str, _Array]:
    """The eight properties of every neuron (neuron, property), and each as a percentile in its layer."""
    layer = table["layer"].to_numpy().astype(np.int64)
    values = [property_of(table, name) for name in EIGHT]
    ranks = [percentiles_in_layers(layer, column) for column in values]
    return {
        "properties": np.stack(values, axis=1).astype(np.float32),
        "percentiles": percentiles(np.stack(ranks, axis=1)),
    }


def _findable(profiles: NeuronProfiles, rows: _Array | None, text: LocalText) -> dict[str, _Array]:
    """The tokens by which a neuron can be found: those it fires at most (where there is text), those it promotes."""
    size = len(text.vocabulary)
    found = {"promoted": token_ids(profiles.promoted_token, size)}
    if rows is not None:
        found["peaks"] = token_ids(_tokens_at(rows, profiles.top_row, profiles.top_position), size)
    return found


def _tokens_at(rows: _Array, row: _Array, position: _Array) -> _Array:
    """The token ids at places of ``rows``; -1 outside."""
    inside = (row >= 0) & (position >= 0) & (position < rows.shape[1])
    return np.where(inside, rows[np.where(inside, row, 0), np.where(inside, position, 0)], -1)


def _details(
    profiles: NeuronProfiles, neurons: NeuronScores, rows: _Array | None, text: LocalText, chosen: slice
) -> dict[str, _Array]:
    """Everything about the neurons of one shard; arrays (neuron, ...)."""
    size = len(text.vocabulary)
    effects = [profiles.effect(quantity).to_numpy() for quantity in (Quantity.KL, Quantity.LOSS)]
    return {
        "excess": scores(neurons.excess[chosen]),
        "reach": scores(neurons.reach[chosen]),
        "own": neurons.is_own[chosen].astype(np.uint8),
        "correlation": scores(neurons.correlation[chosen]),
        "partner": neurons.partner[chosen].astype(np.int32),
        "statistics": profiles.frame[list(STATISTICS)].to_numpy(dtype=np.float32)[chosen],
        "effects": np.concatenate(effects, axis=1)[chosen].astype(np.float32),
        "histogram": profiles.histogram[chosen].astype(np.float32),
        "promoted": token_ids(profiles.promoted_token[chosen], size),
        "promotedBy": scores(profiles.promoted_cosine[chosen]),
        "suppressed": token_ids(profiles.suppressed_token[chosen], size),
        "suppressedBy": scores(profiles.suppressed_cosine[chosen]),
        "row": _with_samples(profiles, "row", chosen).astype(np.int32),
        "position": _with_samples(profiles, "position", chosen).astype(np.int32),
        "value": _with_samples(profiles, "value", chosen).astype(np.float32),
        **_snippets(profiles, rows, size, chosen),
    }


def _with_samples(profiles: NeuronProfiles, what: str, chosen: slice) -> _Array:
    """Something of the largest activations, and after them of the samples below the maximum (neuron, entry ...)."""
    parts = [getattr(profiles, f"{of}_{what}")[chosen] for of in ("top", "below")]
    return np.concatenate(parts, axis=1)


def _snippets(profiles: NeuronProfiles, rows: _Array | None, size: int, chosen: slice) -> dict[str, _Array]:
    """The tokens around each activation, and how active the neuron is there, in parts of the peak or the maximum."""
    if rows is None:
        return {}
    around = np.arange(-CONTEXT[0], CONTEXT[1] + 1)
    beyond = [(0, 0), (0, 0), (CONTEXT[0] - WINDOW[0], CONTEXT[1] - WINDOW[1])]
    row, position = (_with_samples(profiles, what, chosen)[..., None] for what in ("row", "position"))
    tokens = _tokens_at(rows, np.broadcast_to(row, (*row.shape[:-1], around.size)), position + around)
    return {
        "snippet": token_ids(tokens, size),
        "shade": np.pad(np.rint(_with_samples(profiles, "window", chosen) * 255).astype(np.uint8), beyond),
    }
