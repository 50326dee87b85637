"""The evidence against its recomputation: whether what is shipped is what its weights and tokens give.

This module decides how far two computations of one table may lie apart.  Nothing of the working store is trusted: the
stored side is always the shipped evidence, or, where that has nothing, the imported one.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.artifacts.receipt import Sample, receipts_of
from universal_neurons.artifacts.store import Store, in_one_line
from universal_neurons.errors import UserError
from universal_neurons.measures.profiles import NeuronProfiles
from universal_neurons.pipeline.models import LoadedModels
from universal_neurons.pipeline.universality import Asked, score_table, step_scores
from universal_neurons.workspace import (
    IMPORTED,
    WORK_FOLDER,
    Pair,
    Workspace,
    ablation_keys,
    extensions_keys,
    missing,
    profiles_keys,
    table_keys,
    universality_key,
    variants_keys,
    with_excess,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from universal_neurons.artifacts.key import Key
    from universal_neurons.artifacts.receipt import Receipt
    from universal_neurons.artifacts.store import Artifact
    from universal_neurons.measures.intervals import Floats

# Between two machines the same float32 products differ in their last bits; a wrong mask or a wrong rotation moves
# correlations by percents.
TOLERANCE = 1e-4
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
class Comparison:
    """Tables of the evidence against their recomputation: largest differences, and partners that changed."""

    what: str
    neurons: int
    correlation_error: float
    baseline_error: float
    partners_changed: int

    @classmethod
    def of(cls, what: str, stored: pd.DataFrame, again: pd.DataFrame) -> Comparison:
        """One table against another of the same pair."""
        moved = [stored[name].to_numpy() != again[name].to_numpy() for name in ("partner_layer", "partner_neuron")]
        return cls(
            what=what,
            neurons=len(stored),
            correlation_error=largest_difference(stored["correlation"], again["correlation"]),
            baseline_error=largest_difference(stored["baseline"], again["baseline"]),
            partners_changed=int((moved[0] | moved[1]).sum()),
        )

    def __add__(self, other: Comparison) -> Comparison:
        """Both comparisons as one, under the name of this one."""
        return Comparison(
            self.what,
            self.neurons + other.neurons,
            max(self.correlation_error, other.correlation_error),
            max(self.baseline_error, other.baseline_error),
            self.partners_changed + other.partners_changed,
        )

    @property
    def agrees(self) -> bool:
        """Whether every number is within the tolerance and no partner changed by more than a tie."""
        worst = max(self.correlation_error, self.baseline_error)
        return worst <= TOLERANCE and self.partners_changed <= TIES * self.neurons

    def __str__(self) -> str:
        return (
            f"{self.what}, {self.neurons} neurons computed again: largest difference {self.correlation_error:.1e} in "
            f"correlation, {self.baseline_error:.1e} in baseline, {self.partners_changed} other partners "
            f"(tolerance {TOLERANCE:.0e})"
        )

    def checked(self, suite: str) -> Comparison:
        """This comparison; raises :class:`EvidenceDiffers` if it does not agree."""
        if not self.agrees:
            raise EvidenceDiffers(f"evidence of suite {suite}: {self}; run: universal-neurons compute --recompute")
        return self


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
    stored = _shipped_table(work, universality_key(work, pair))
    if stored is None:
        raise missing(work, universality_key(work, pair))
    models = LoadedModels.of(work, (pair.reference, pair.partner))
    found = step_scores(models, Asked((pair,)))
    scores = found.table(pair)
    found.passes.forget()
    return Comparison.of(_named(pair), stored, with_excess(score_table(scores)))


def recomputation_check(work: Workspace) -> Comparison | None:
    """Every recomputed table and variant of ``work`` against the shipped one of the same name; None where none is.

    None is the answer on a machine whose corpus is another one.  Raises :class:`EvidenceDiffers` if they disagree.
    """
    found = []
    for step in work.steps:
        for pair, key in table_keys(work, step).items():
            stored, again = _shipped_table(work, key), work.store.read(key)
            if stored is not None and again is not None:
                compared = Comparison.of(_named(pair), stored, with_excess(again.table))
                found.append(compared.checked(work.suite.name))
    found += [one.checked(work.suite.name) for step in work.steps for one in variants_compared(work, step)]
    return replace(reduce(add, found), what="all tables") if found else None


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
            columns = [
                {"correlation": one.arrays["correlation"], "baseline": one.arrays["correlation"] - one.arrays["excess"]}
                for one in (stored, again)
            ]
            frames = [pd.DataFrame({name: array.ravel() for name, array in both.items()}) for both in columns]
            yield Comparison(
                what=f"variants at step {step}",
                neurons=len(frames[0]),
                correlation_error=largest_difference(frames[0]["correlation"], frames[1]["correlation"]),
                baseline_error=largest_difference(frames[0]["baseline"], frames[1]["baseline"]),
                partners_changed=0,
            )


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
    if len(stored) != len(again) or (stored.isna() != again.isna()).any():
        return float("inf")
    return float((stored - again).abs().fillna(0.0).max()) if len(stored) else 0.0
