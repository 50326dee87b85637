"""The evidence against its recomputation: whether what is shipped is what its weights and tokens give.

This module decides how far two computations of one table may lie apart.  Nothing of the working store is trusted: the
stored side is always the shipped evidence, or, where that has nothing, the imported one.

Correlations and baselines may differ by :data:`TOLERANCE`.  Where a few neurons differ by more, how far rounding can
move each of them is measured (:mod:`universal_neurons.pipeline.rounding`), and those that rounding explains are
excused: never more than a share of a table, never further than a bound, never across a threshold, and each is counted
in the line that is printed.  Where the evidence agrees nothing is measured.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.artifacts.receipt import Sample, receipts_of
from universal_neurons.artifacts.store import Store, in_one_line
from universal_neurons.errors import UserError
from universal_neurons.ids import NeuronId
from universal_neurons.measures.profiles import NeuronProfiles
from universal_neurons.pipeline.models import LoadedModels
from universal_neurons.pipeline.rounding import distances, distances_under_variants
from universal_neurons.pipeline.universality import Asked, score_table, step_scores
from universal_neurons.pipeline.variants import reference_first
from universal_neurons.workspace import (
    IMPORTED,
    WORK_FOLDER,
    Pair,
    Workspace,
    ablation_keys,
    extensions_keys,
    missing,
    pairs_of,
    profiles_keys,
    table_keys,
    universality_key,
    variants_keys,
    with_excess,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from universal_neurons.artifacts.key import Key
    from universal_neurons.artifacts.receipt import Receipt
    from universal_neurons.artifacts.store import Artifact
    from universal_neurons.ids import ModelRef
    from universal_neurons.measures.arrays import Flags, Floats

    Scores = Mapping[str, npt.NDArray[Any]]

# Between two machines the same float32 products differ in their last bits; a wrong mask or a wrong rotation moves
# correlations by percents.
TOLERANCE = 1e-4
# Both sides were rounded, each on its own machine, so they lie apart by at most two distances from what is exact.
ROUNDED_SIDES = 2
# A neuron that consists of rounding could be anything; further than this from what is stored is another number all the
# same.
FURTHEST = 0.05
# Of the neurons of a table that may be excused.  Of mini's the worst has 0.5 % that move on another processor; a wrong
# mask or a wrong rotation moves nearly all.
EXCUSED = 0.02
# Of the excused neurons, how many are named in one line.
_NAMED = 5
# Of neurons whose two best partners are equal to within the tolerance, so that either may come first.
TIES = 0.002
# Of sets that are not the same neurons: a score so near its threshold that rounding decides changes the universal set
# of one model and everything that is compared with it.
SETS = 0.05
# Of single neurons: statistics are stored in steps of one part in 2048, effects in steps of one in 128 and with a
# rounding of 1e-6 nats in them, shares of a histogram in steps of a twelfth.
STATISTICS, EFFECTS, SMALLEST_EFFECT, HISTOGRAM = 1e-3, 0.02, 1e-4, 0.05
_PLACES = ("top_row", "top_position", "promoted_token", "suppressed_token")
_NAMES = ["partner", "definition", "threshold", "layer", "neurons", "draw", "mode", "fraction", "labels_step"]


class EvidenceDiffers(UserError):
    """The shipped or imported evidence is not what its weights and tokens give."""


@dataclass(frozen=True, slots=True)
class Excused:
    """A neuron whose correlation or baseline rounding alone can move so far: how far it ``moved`` and ``may`` move."""

    neuron: str
    moved: float
    may: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Tables of the evidence against their recomputation: largest differences, and partners that changed.

    ``neurons`` are all that were compared, the ``excused`` ones among them; everything else is about the others.
    """

    what: str
    neurons: int
    correlation_error: float
    baseline_error: float
    partners_changed: int
    excused: tuple[Excused, ...] = ()

    def __add__(self, other: Comparison) -> Comparison:
        """Both comparisons as one, under the name of this one."""
        return Comparison(
            self.what,
            self.neurons + other.neurons,
            max(self.correlation_error, other.correlation_error),
            max(self.baseline_error, other.baseline_error),
            self.partners_changed + other.partners_changed,
            self.excused + other.excused,
        )

    @property
    def agrees(self) -> bool:
        """Whether every number is within the tolerance and no partner changed by more than a tie, but for a few neurons
        that rounding explains."""
        worst = max(self.correlation_error, self.baseline_error)
        few = self.partners_changed <= TIES * self.neurons and len(self.excused) <= EXCUSED * self.neurons
        return worst <= TOLERANCE and few

    def __str__(self) -> str:
        return (
            f"{self.what}, {self.neurons} neurons computed again: largest difference {self.correlation_error:.1e} in "
            f"correlation, {self.baseline_error:.1e} in baseline, {self.partners_changed} other partners "
            f"(tolerance {TOLERANCE:.0e}){self._exceptions}"
        )

    @property
    def _exceptions(self) -> str:
        """The excused neurons in words: how many, how far they moved, and which moved furthest."""
        if not self.excused:
            return ""
        furthest = sorted(self.excused, key=lambda one: -one.moved)
        names = list(dict.fromkeys(one.neuron for one in furthest))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return (
            f", without {len(furthest)} that rounding moves, each compared within what it can: at most "
            f"{furthest[0].moved:.1e} where {furthest[0].may:.1e} is possible ({', '.join(names[:_NAMED])}{more})"
        )

    def checked(self, suite: str) -> Comparison:
        """This comparison; raises :class:`EvidenceDiffers` if it does not agree."""
        if not self.agrees:
            raise EvidenceDiffers(f"evidence of suite {suite}: {self}; run: universal-neurons compute --recompute")
        return self


@dataclass(frozen=True, eq=False)
class _Differences:
    """By how much scores of neurons differ, neuron by neuron (any shape, the same for all), and whose partner does."""

    correlation: Floats
    baseline: Floats
    partner: Flags

    @classmethod
    def of(cls, stored: Scores, again: Scores) -> _Differences:
        """Of scores of one shape; without partners where none are stored."""
        partner = np.zeros(stored["correlation"].shape, dtype=bool)
        for name in ("partner_layer", "partner_neuron"):
            partner |= stored[name] != again[name] if name in stored else False
        correlation, baseline = (_differences(stored[name], again[name]) for name in ("correlation", "baseline"))
        return cls(correlation, baseline, partner)

    @property
    def suspects(self) -> Flags:
        """The neurons that the tolerance does not cover."""
        return (self.correlation > TOLERANCE) | (self.baseline > TOLERANCE) | self.partner

    def compared(self, what: str, excused: Flags | None = None, names: Sequence[Excused] = ()) -> Comparison:
        """The largest of them, but for those of the ``excused`` neurons, which are named by ``names``."""
        kept = np.ones(self.partner.shape, dtype=bool) if excused is None else ~excused
        return Comparison(
            what=what,
            neurons=self.partner.size,
            correlation_error=float(self.correlation[kept].max(initial=0.0)),
            baseline_error=float(self.baseline[kept].max(initial=0.0)),
            partners_changed=int(self.partner[kept].sum()),
            excused=tuple(names),
        )


@dataclass(frozen=True, slots=True)
class EffectComparison:
    """Ablations of the evidence against their recomputation: largest differences in nats, and sets that changed.

    A set has changed if its size or its norm has; its effects are then those of other neurons and are not compared.
    Differences are those of all sets together and of every block of rows.
    """

    sets: int
    changed: int
    kl_error: float
    loss_error: float

    @classmethod
    def of(cls, stored: tuple[Artifact, Artifact], again: tuple[Artifact, Artifact]) -> EffectComparison:
        """The table and the blocks of one model and step against those that were computed again."""
        mine, theirs = stored[0].table, again[0].table
        if not mine[_NAMES].equals(theirs[_NAMES]):
            return cls(len(mine), len(mine), 0.0, 0.0)
        same = (mine["size"] == theirs["size"]) & np.isclose(mine["norm"], theirs["norm"], rtol=TOLERANCE, atol=0)
        errors = []
        for name in ("kl", "loss_increase"):
            columns = zip(_effects(stored, name, same), _effects(again, name, same), strict=True)
            errors.append(max(largest_difference(pd.Series(one), pd.Series(other)) for one, other in columns))
        return cls(len(mine), int((~same).sum()), *errors)

    def __add__(self, other: EffectComparison) -> EffectComparison:
        """Both comparisons as one."""
        return EffectComparison(
            self.sets + other.sets,
            self.changed + other.changed,
            max(self.kl_error, other.kl_error),
            max(self.loss_error, other.loss_error),
        )

    @property
    def agrees(self) -> bool:
        """Whether every effect is within the tolerance, and few enough sets changed to be accidents of rounding."""
        return max(self.kl_error, self.loss_error) <= TOLERANCE and self.changed <= SETS * self.sets

    def __str__(self) -> str:
        return (
            f"{self.sets} ablations computed again: largest difference {self.kl_error:.1e} in KL, "
            f"{self.loss_error:.1e} in loss, {self.changed} other sets (tolerance {TOLERANCE:.0e} nats)"
        )


def _effects(
    found: tuple[Artifact, Artifact], name: str, chosen: pd.Series[bool]
) -> Iterator[npt.NDArray[np.floating]]:
    """What the table says of the ``chosen`` sets, and then what the blocks say."""
    yield found[0].table[name].to_numpy()[chosen]
    yield found[1].arrays[name][chosen].ravel()


@dataclass(frozen=True, slots=True)
class ProfileComparison:
    """Profiles of the evidence against their recomputation: largest differences, and places and tokens that changed.

    ``statistic_error`` is relative to the number, or to the median of its column where that is larger; ``effect_error``
    to the effect, or to 1e-4 nats; ``histogram_error`` is the total variation of a neuron's histogram.
    """

    neurons: int
    places: int
    changed: int
    statistic_error: float
    effect_error: float
    histogram_error: float

    @classmethod
    def of(cls, stored: NeuronProfiles, again: NeuronProfiles) -> ProfileComparison:
        """The profiles of one model against those that were computed again."""
        numbers = [name for name in stored.frame if name not in ("layer", "neuron")]
        mine, theirs = stored.frame[numbers], again.frame[numbers]
        effects = [np.hstack([one.kl, one.loss_increase]) for one in (stored, again)]
        places = [np.hstack([getattr(one, name) for name in _PLACES]) for one in (stored, again)]
        return cls(
            neurons=len(stored),
            places=places[0].size,
            changed=int((places[0] != places[1]).sum()),
            statistic_error=_relative(mine.to_numpy(), theirs.to_numpy(), mine.abs().median().to_numpy()),
            effect_error=_relative(effects[0], effects[1], np.array(SMALLEST_EFFECT)),
            histogram_error=float(np.abs(stored.histogram - again.histogram).sum(axis=1).max() / 2),
        )

    def __add__(self, other: ProfileComparison) -> ProfileComparison:
        """Both comparisons as one."""
        return ProfileComparison(
            self.neurons + other.neurons,
            self.places + other.places,
            self.changed + other.changed,
            max(self.statistic_error, other.statistic_error),
            max(self.effect_error, other.effect_error),
            max(self.histogram_error, other.histogram_error),
        )

    @property
    def agrees(self) -> bool:
        """Whether every number is within its tolerance and no more places changed than ties would."""
        errors = self.statistic_error <= STATISTICS and self.effect_error <= EFFECTS
        return errors and self.histogram_error <= HISTOGRAM and self.changed <= TIES * self.places

    def __str__(self) -> str:
        return (
            f"profiles of {self.neurons} neurons computed again: largest relative difference "
            f"{self.statistic_error:.1e} in statistics, {self.effect_error:.1e} in effects, {self.changed} of "
            f"{self.places} places and tokens others (tolerances {STATISTICS:.0e}, {EFFECTS:.0e})"
        )


def _relative(one: Floats, other: Floats, smallest: Floats) -> float:
    # Infinite where one is NaN and the other is not; 0 where both are.
    if one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any():
        return float("inf")
    scale = np.maximum(np.maximum(np.abs(one), np.abs(other)), smallest)
    difference = np.abs(one - other)
    return float(np.divide(difference, scale, out=np.zeros_like(difference), where=difference > 0).max(initial=0.0))


def spotcheck(work: Workspace) -> Comparison:
    """Compute one shipped table again: the reference against its first partner at the last checkpoint.

    Raises :class:`EvidenceDiffers` if they disagree, ArtifactMissing if nothing is shipped, and UserError if this
    machine's corpus is another one, because then there is nothing to compare.
    """
    return _recomputed(work, spotchecked_pair(work)).checked(work.suite.name)


def spotchecked_pair(work: Workspace) -> Pair:
    """The pair of which :func:`spotcheck` computes the table again."""
    step = work.suite.checkpoints[-1].step
    return next(pair for pair in work.pairs(step) if pair.reference.name == work.suite.zoo.reference)


def imported_sample(work: Workspace, receipt: Receipt) -> Comparison:
    """Compute one table of an import again, and note in its receipt that it agreed.

    Which table is drawn anew every time, so that nobody can know beforehand which one has to be right.  Raises
    :class:`EvidenceDiffers` if it does not agree, and UserError if the import has no table of a pair, or if this
    machine's corpus is another one.
    """
    pair = secrets.choice(_sampled_from(work, receipt))
    with capture() as run:
        compared = _recomputed(work, pair)
    if not compared.agrees:
        raise EvidenceDiffers(
            f"evidence imported from {receipt.source}: {compared}; do not rely on it: remove "
            f"{WORK_FOLDER}/{IMPORTED}, then import another or run: {work.suite.command('universal-neurons compute')}"
        )
    key, made = universality_key(work, pair), run.provenance
    sample = Sample(key.digest, made.created, made.git_commit, str(compared))
    imported = work.store.imported_root
    with work.store.import_lock(work.suite.name), in_one_line("noting the sample in", imported):
        # As it is now: another import may have added to it meanwhile.
        now = next((one for one in receipts_of(imported, receipt.suite) if one.bundle == receipt.bundle), receipt)
        now.with_sample(sample).write(imported)
    return compared


def _sampled_from(work: Workspace, receipt: Receipt) -> list[Pair]:
    """The pairs at trained checkpoints whose tables came with an import."""
    pairs = []
    for checkpoint in work.suite.checkpoints:
        for pair, key in table_keys(work, checkpoint.step).items():
            found = _shipped(work, key) if key.digest in receipt.artifacts else None
            if found is not None and receipt.covers(key.digest, found.sha256):
                pairs.append(pair)
    if not pairs:
        raise UserError(
            f"evidence imported from {receipt.source}: has no table of suite {work.suite} to compute again; import all "
            "of it"
        )
    return pairs


def _recomputed(work: Workspace, pair: Pair) -> Comparison:
    tables = {one: _shipped_table(work, universality_key(work, one)) for one in pairs_of(work, pair.reference)}
    stored = {one: table for one, table in tables.items() if table is not None}
    if pair not in stored:
        raise missing(work, universality_key(work, pair))
    models = LoadedModels.of(work, (pair.reference, pair.partner))
    found = step_scores(models, Asked((pair,)))
    scores = found.table(pair)
    found.passes.forget()
    return _compared(work, pair, stored, stored | {pair: with_excess(score_table(scores))})


def recomputation_check(work: Workspace) -> Comparison | None:
    """Every recomputed table and variant of ``work`` against the shipped one of the same name; None where none is.

    None is the answer on a machine whose corpus is another one.  Raises :class:`EvidenceDiffers` if they disagree.
    """
    found = [one.checked(work.suite.name) for step in work.steps for one in _tables_compared(work, step)]
    found += [one.checked(work.suite.name) for step in work.steps for one in variants_compared(work, step)]
    return replace(reduce(add, found), what="all tables") if found else None


def _tables_compared(work: Workspace, step: int) -> Iterator[Comparison]:
    """The recomputed tables of one step against the shipped ones, where there are any."""
    keys = table_keys(work, step)
    shipped = {pair: table for pair, key in keys.items() if (table := _shipped_table(work, key)) is not None}
    again = {pair: with_excess(found.table) for pair in shipped if (found := work.store.read(keys[pair])) is not None}
    for pair in again:
        own = [one for one in again if one.reference == pair.reference]
        yield _compared(work, pair, {one: shipped[one] for one in own}, {one: again[one] for one in own})


def _compared(
    work: Workspace, pair: Pair, stored: Mapping[Pair, pd.DataFrame], again: Mapping[Pair, pd.DataFrame]
) -> Comparison:
    """The table of a pair against another; the mappings have the tables of its reference against other partners too,
    because whether the mean over them is above a threshold must not change with one."""
    frames = stored[pair], again[pair]
    if len(frames[0]) != len(frames[1]):
        return Comparison(_named(pair), len(frames[0]), float("inf"), float("inf"), 0)
    scores = [{str(name): frame[name].to_numpy() for name in frame} for frame in frames]
    found, what = _Differences.of(*scores), _named(pair)
    if not _may_be_rounding(found.compared(what), found):
        return found.compared(what)
    same = [one for one in stored if len(stored[one]) == len(again[one]) == len(frames[0])]
    excess = [np.stack([side[one]["excess"].to_numpy() for one in same]) for side in (stored, again)]
    changed, names = _changed(work, *excess), _names(work, pair.reference)
    x = distances(work, pair.reference)
    compared = _excusing(found, what, (_reach(x), _reach(x)), changed, names)
    if compared.agrees:
        return compared
    # The neuron may be sound and its partner be one that is never on; a baseline looks at no single partner.
    both = x + np.maximum(*(_of_partners(work, pair.partner, one) for one in scores))
    return _excusing(found, what, (_reach(both), _reach(x)), changed, names)


def _of_partners(work: Workspace, model: ModelRef, scores: Scores) -> Floats:
    """(neuron,) how far rounding can move the partner in ``model`` that a table names for each neuron."""
    flat = scores["partner_layer"].astype(np.int64) * work.zoo.recipe().mlp + scores["partner_neuron"]
    # Clipped: an altered table may name a neuron that there is not, and a missing partner is -1.
    return np.take(distances(work, model), flat, mode="clip")


def _may_be_rounding(plain: Comparison, found: _Differences) -> bool:
    """Whether how far rounding can move a neuron is of interest: something differs, and no more than may be excused."""
    return not plain.agrees and int(found.suspects.sum()) <= EXCUSED * plain.neurons


def _reach(distance: Floats) -> Floats:
    """How far rounding may move scores of neurons at these distances from the exact ones; the tolerance at least."""
    reach: Floats = np.clip(ROUNDED_SIDES * distance, TOLERANCE, FURTHEST)
    return reach


def _changed(work: Workspace, stored: Floats, again: Floats) -> Flags:
    """(..., neuron) whose excess (..., partner, neuron) is above a threshold on one side only, against a partner or in
    the mean over all.

    Then it is above one in union or intersection on both sides, or on none.
    """
    spec = work.suite.universality
    sides = [np.concatenate([one, one.mean(axis=-2, keepdims=True)], axis=-2) for one in (stored, again)]
    crossed = [(sides[0] > level) != (sides[1] > level) for level in {spec.threshold, *spec.thresholds}]
    changed: Flags = np.any(crossed, axis=0).any(axis=-2)
    return changed


def _excusing(
    found: _Differences, what: str, may: tuple[Floats, Floats], changed: Flags, names: npt.NDArray[np.str_]
) -> Comparison:
    """The comparison without the neurons whose correlation and baseline ``may`` move as far as they did.

    Those that rounding cannot move beyond the tolerance are never excused, nor those whose status ``changed``.  All
    have the shape of the differences; ``names`` are of the neurons along its last axis.
    """
    correlation, baseline = (np.broadcast_to(one, found.partner.shape) for one in may)
    explained = (found.correlation <= correlation) & (found.baseline <= baseline) & (correlation > TOLERANCE)
    excused = found.suspects & explained & ~changed
    moved = np.maximum(found.correlation, found.baseline)[excused]
    named = np.broadcast_to(names, found.partner.shape)[excused]
    each = [Excused(str(who), *map(float, both)) for who, *both in zip(named, moved, correlation[excused], strict=True)]
    return found.compared(what, excused, each)


def _names(work: Workspace, model: ModelRef) -> npt.NDArray[np.str_]:
    recipe = work.zoo.recipe()
    return np.array([f"{model} {NeuronId(*divmod(flat, recipe.mlp))}" for flat in range(recipe.layers * recipe.mlp)])


def ablation_check(work: Workspace) -> EffectComparison | None:
    """Every recomputed ablation of ``work`` against the shipped one, families and patches among them; None where none
    is shipped.

    Raises :class:`EvidenceDiffers` if they disagree.
    """
    found = []
    for step in work.steps:
        extensions = extensions_keys(work, step)
        for keys in (*ablation_keys(work, step).values(), *([extensions] if extensions else [])):
            stored = [artifact for key in keys if (artifact := _shipped(work, key)) is not None]
            again = [artifact for key in keys if (artifact := work.store.read(key)) is not None]
            if len(stored) == len(again) == len(keys):
                found.append(EffectComparison.of((stored[0], stored[1]), (again[0], again[1])))
    compared = reduce(add, found) if found else None
    if compared is not None and not compared.agrees:
        raise EvidenceDiffers(
            f"evidence of suite {work.suite.name}: {compared}; run: universal-neurons compute --recompute"
        )
    return compared


def profile_check(work: Workspace) -> ProfileComparison | None:
    """Every recomputed profile of ``work`` against the shipped one; None where none is shipped.

    Raises :class:`EvidenceDiffers` if they disagree.
    """
    found = []
    for key in profiles_keys(work, work.suite.checkpoints[-1].step).values():
        stored, again = _shipped(work, key), work.store.read(key)
        if stored is not None and again is not None:
            found.append(ProfileComparison.of(_profiles(stored), _profiles(again)))
    compared = reduce(add, found) if found else None
    if compared is not None and not compared.agrees:
        raise EvidenceDiffers(
            f"evidence of suite {work.suite.name}: {compared}; run: universal-neurons compute --recompute"
        )
    return compared


def _profiles(found: Artifact) -> NeuronProfiles:
    # Only its numbers are compared; whose they are, the key says.
    return NeuronProfiles.from_table(found.table, model="", step=0, tokens="", predictions=1, level=0.5)


def variants_compared(work: Workspace, step: int) -> Iterator[Comparison]:
    """The recomputed variants of one step against the shipped ones, where there are any.

    The baseline is not stored; what correlation does not explain of a difference in excess is its.
    """
    for key in variants_keys(work, step):
        stored, again = _shipped(work, key), work.store.read(key)
        if stored is not None and again is not None:
            yield _variants_compared(work, step, stored.arrays, again.arrays)


def _variants_compared(work: Workspace, step: int, stored: Scores, again: Scores) -> Comparison:
    what = f"variants at step {step}"
    scores = [
        {"correlation": one["correlation"], "baseline": one["correlation"] - one["excess"]} for one in (stored, again)
    ]
    if scores[0]["correlation"].shape != scores[1]["correlation"].shape:
        return Comparison(what, scores[0]["correlation"].size, float("inf"), float("inf"), 0)
    found = _Differences.of(*scores)
    if not _may_be_rounding(found.compared(what), found):
        return found.compared(what)
    model, *partners = (work.model(name, step) for name in reference_first(work))
    changed, names = _changed(work, stored["excess"], again["excess"])[:, None], _names(work, model)
    x = distances_under_variants(work, model)[:, None]
    compared = _excusing(found, what, (_reach(x), _reach(x)), changed, names)
    if compared.agrees:
        return compared
    # Who is the best partner under a variant is not stored: it may be the one that rounding moves furthest.
    furthest = np.stack([distances_under_variants(work, one).max(axis=1) for one in partners], axis=1)[..., None]
    return _excusing(found, what, (_reach(x + furthest), _reach(x)), changed, names)


def _named(pair: Pair) -> str:
    return f"{pair.reference} against {pair.partner}"


def _shipped_table(work: Workspace, key: Key) -> pd.DataFrame | None:
    found = _shipped(work, key)
    return None if found is None else with_excess(found.table)


def _shipped(work: Workspace, key: Key) -> Artifact | None:
    nothing, evidence = work.root / WORK_FOLDER / "unused", work.root / "fixtures" / "evidence"
    return Store(nothing, [evidence], imported=work.root / WORK_FOLDER / IMPORTED, warn=work.warn).read(key)


def largest_difference(stored: pd.Series[float], again: pd.Series[float]) -> float:
    """Largest absolute difference; infinite where one is NaN and the other is not, 0 where both are throughout."""
    if len(stored) != len(again):
        return float("inf")
    return float(_differences(stored.to_numpy(), again.to_numpy()).max(initial=0.0))


def _differences(stored: npt.NDArray[Any], again: npt.NDArray[Any]) -> Floats:
    """Absolute differences; infinite where one is NaN and the other is not, 0 where both are."""
    difference = np.abs(stored.astype(np.float64) - again)
    unlike = np.where(np.isnan(stored) == np.isnan(again), 0.0, np.inf)
    return np.where(np.isnan(difference), unlike, difference)
