"""What claims and the report read: a suite's tables, without a line of computation.

A study opens in a second and imports no torch.  What is absent raises ArtifactMissing with the command that computes
it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from universal_neurons.artifacts.store import Store
from universal_neurons.errors import ArtifactMissing, NotOnSuite, UserError
from universal_neurons.measures.ablation_table import AblationTable
from universal_neurons.measures.extensions import Extensions
from universal_neurons.measures.profiles import NeuronProfiles
from universal_neurons.measures.tables import ReferenceTables, Resampling, UniversalityTable
from universal_neurons.workspace import (
    WORK_FOLDER,
    NullKind,
    Pair,
    Progress,
    Warn,
    Workspace,
    ablation_keys,
    candidates_key,
    check_pinned,
    corpus_ref,
    evaluation_ref,
    extensions_keys,
    imported_evidence,
    open_workspace,
    pairs_of,
    profiles_key,
    read,
    read_influence,
    suite_keys,
    universality_key,
    variants_keys,
    with_excess,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from universal_neurons.artifacts.key import Key
    from universal_neurons.artifacts.receipt import Imported
    from universal_neurons.artifacts.store import Artifact
    from universal_neurons.ids import CorpusRef, ModelRef
    from universal_neurons.inputs.suite import Checkpoint, Suite
    from universal_neurons.measures.study import HasStep


@dataclass
class Study:
    """Read access to what a suite computed: the ``study`` of every claim.

    ``reads`` lists the digests of the artifacts read so far, in order, so that evidence can name what it rests on.
    """

    work: Workspace
    reads: list[str] = field(default_factory=list)

    @property
    def suite(self) -> Suite:
        """The suite as resolved (and perhaps narrowed)."""
        return self.work.suite

    @property
    def root(self) -> Path:
        """The project's root folder."""
        return self.work.root

    @property
    def reference(self) -> str:
        """The suite's reference model."""
        return self.suite.zoo.reference

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The trained checkpoints in order of training."""
        return self.suite.checkpoints

    @property
    def untrained(self) -> Checkpoint | None:
        """The checkpoint before the first step, where the suite has it."""
        return self.suite.untrained

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        """The other models of the suite, in its order."""
        return tuple(name for name in self.suite.zoo.models if name != (reference or self.reference))

    def model(self, name: str, checkpoint: HasStep) -> ModelRef:
        """The reference to one model's weights."""
        return self.work.model(name, checkpoint.step)

    def corpus(self) -> CorpusRef:
        """The identity of the scored tokens."""
        return corpus_ref(self.work)

    def evaluation(self) -> CorpusRef:
        """The identity of the rows on which ablations are judged; its tokens are predictions."""
        return evaluation_ref(self.work)

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        """The universality table of one directed pair at one checkpoint.

        Raises ArtifactMissing, NotOnSuite for a reference that a narrowed suite left out, and UserError for a model
        that is not the suite's or is its own partner.
        """
        pair = self._pair(partner, checkpoint, reference)
        place = self.partners(pair.reference.name).index(partner)
        return self._table(pair, universality_key(self.work, pair), self._candidates(pair.reference), place)

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        """The tables of one reference against all its partners at one checkpoint; raises as :meth:`universality`."""
        name = reference or self.reference
        self._check_reference(name)
        if name not in self.suite.references:
            known = ", ".join(self.suite.references)
            raise UserError(f"suite {self.suite.name}: references: expected one of {known}, got {name!r}")
        x = self.model(name, checkpoint)
        extra = self._candidates(x)
        tables = {
            pair.partner.name: self._table(pair, universality_key(self.work, pair), extra, place)
            for place, pair in enumerate(pairs_of(self.work, x))
        }
        return ReferenceTables(reference=x.name, step=checkpoint.step, tables=tables)

    def null(
        self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
    ) -> UniversalityTable:
        """What a pair looks like where nothing is shared: ``untrained`` models, ``rotated`` against rotated
        activations, or ``permuted`` tokens.

        Null tables have no candidates: their interval has no width.  Raises ArtifactMissing, NotOnSuite where the suite
        has no null of that kind, and UserError where ``reference`` is not the suite's, for which alone the others
        are computed.
        """
        if kind == "untrained":
            if self.untrained is None:
                raise NotOnSuite(f"suite {self.suite.name}: no untrained checkpoint, so there is no null of that kind")
            return self.universality(partner=partner, checkpoint=self.untrained, reference=reference)
        if kind not in self.suite.universality.nulls:
            raise NotOnSuite(f"suite {self.suite.name}: there is no null of the kind {kind}")
        pair = self._pair(partner, checkpoint, reference)
        if pair.reference.name != self.reference:
            raise UserError(
                f"suite {self.suite.name}: {kind} null: expected reference {self.reference}, got {pair.reference.name}"
            )
        blocks, draws = self.suite.universality.blocks, self.suite.universality.draws
        nothing = {
            "neuron": np.empty(0, dtype=np.int32),
            "influence": np.empty((1, blocks, 0), dtype=np.float16),
            "draws": np.empty((1, draws, 0), dtype=np.float32),
        }
        return self._table(pair, universality_key(self.work, pair, f"null-{kind}"), nothing, 0)

    @property
    def variants(self) -> tuple[str, ...]:
        """The names of the suite's variants, such as ``tokens:10000``."""
        return self.suite.variants.names

    def variant(self, name: str, *, partner: str, checkpoint: HasStep) -> UniversalityTable:
        """The suite's reference against ``partner`` at a trained checkpoint, with one choice made otherwise.

        The frame has correlation and excess; partners and halves are not kept.  There are no candidates, so its shares
        have no interval over tokens; ``draws`` (draw, none) still says how many rotations made the baseline.  Raises
        ArtifactMissing, NotOnSuite for a name of which the suite has no variant, and UserError for a partner or a
        checkpoint of which it has none.
        """
        place, found = self._variant_place(name), self._variants(checkpoint)
        pair = self._pair(partner, checkpoint, None)
        arrays = {key: found[key][place, self.partners().index(partner)] for key in ("correlation", "excess")}
        recipe = self.work.zoo.recipe()
        neurons = np.arange(recipe.layers * recipe.mlp)
        nothing = np.full(len(neurons), np.nan, dtype=np.float32)
        columns: dict[str, Any] = {"layer": neurons // recipe.mlp, "neuron": neurons % recipe.mlp}
        columns |= {"partner_layer": np.full(len(neurons), -1), **arrays}
        columns |= {"excess_half_a": nothing, "excess_half_b": nothing}
        spec, blocks = self.suite.resampling, self.suite.universality.blocks
        return UniversalityTable(
            reference=pair.reference.name,
            partner=partner,
            step=checkpoint.step,
            frame=pd.DataFrame(columns).astype({"layer": "int16", "neuron": "int32", "partner_layer": "int16"}),
            candidates=np.empty(0, dtype=np.int32),
            influence=np.empty((blocks, 0)),
            draws=np.empty((int(found["draws"][place]), 0), dtype=np.float32),
            resampling=Resampling(resamples=spec.resamples, level=spec.level, seed=spec.seed),
        )

    def variant_settings(self, checkpoint: HasStep) -> pd.DataFrame:
        """One row per variant: its name, the tokens that it counts, the rotation draws of its baseline."""
        found = self._variants(checkpoint) if self.variants else {"tokens": (), "draws": ()}
        return pd.DataFrame({"variant": self.variants, "tokens": found["tokens"], "draws": found["draws"]})

    def _variant_place(self, name: str) -> int:
        if name not in self.variants:
            known = f"expected one of {', '.join(self.variants)}" if self.variants else "it varies nothing"
            raise NotOnSuite(f"suite {self.suite.name}: {known}, got {name!r}")
        return self.variants.index(name)

    def _variants(self, checkpoint: HasStep) -> Mapping[str, Any]:
        keys = variants_keys(self.work, checkpoint.step)
        if not keys:
            raise UserError(f"suite {self.suite.name}: no variants at step {checkpoint.step}, only where it is trained")
        return self._read(keys[0]).arrays

    def ablation(self, *, checkpoint: HasStep, reference: str | None = None) -> AblationTable:
        """What every ablated set of neurons of one model does to its predictions at one checkpoint.

        Untrained, the sets are those of the last checkpoint.  Raises ArtifactMissing, NotOnSuite for a reference that a
        narrowed suite left out, and UserError for a model that is not ablated there: one that is not the suite's or,
        untrained, not its reference.
        """
        keys = self._ablation_keys(checkpoint.step)
        name = reference or self.reference
        self._check_reference(name)
        if name not in keys:
            raise UserError(
                f"suite {self.suite.name}: ablations at step {checkpoint.step}: expected one of {', '.join(keys)}, "
                f"got {name!r}"
            )
        table, effects = (self._read(key) for key in keys[name])
        # Claims ask for one table a thousand times; the table finds its rows through an index that it builds once.
        place = ("ablation", keys[name][0].digest)
        if place not in self.work.cache:
            spec = self.suite.resampling
            self.work.cache[place] = AblationTable(
                reference=name,
                step=checkpoint.step,
                frame=table.table,
                kl=effects.arrays["kl"],
                loss_increase=effects.arrays["loss_increase"],
                clean_loss=effects.arrays["clean_loss"],
                predictions=effects.arrays["predictions"],
                resampling=Resampling(resamples=spec.resamples, level=spec.level, seed=spec.seed),
            )
        return cast("AblationTable", self.work.cache[place])

    def extensions(self, *, checkpoint: HasStep) -> Extensions:
        """Families and patches of the suite's reference.

        Raises ArtifactMissing, NotOnSuite where the suite does without, and UserError if the reference is untrained.
        """
        if not self.suite.ablation.extensions:
            raise NotOnSuite(f"suite {self.suite.name}: no families of neurons are ablated, and none are patched")
        keys = extensions_keys(self.work, checkpoint.step)
        if not keys:
            raise UserError(
                f"suite {self.suite.name}: no extensions at step {checkpoint.step}, only where it is trained"
            )
        frame, arrays = self._read(keys[0]).table, self._read(keys[1]).arrays
        place = ("extensions", keys[0].digest)
        if place not in self.work.cache:
            recipe = self.work.zoo.recipe()
            self.work.cache[place] = Extensions(
                reference=self.reference,
                step=checkpoint.step,
                families=self._effects(frame, arrays, checkpoint.step, mode="zero", kl="kl"),
                patches=self._effects(frame, arrays, checkpoint.step, mode="resample", kl="toward"),
                distance=arrays["distance"],
                score=arrays["score"],
                token=arrays["token"],
                layer=np.arange(recipe.layers * recipe.mlp) // recipe.mlp,
            )
        return cast("Extensions", self.work.cache[place])

    def _effects(
        self, frame: pd.DataFrame, arrays: Mapping[str, Any], step: int, *, mode: str, kl: str
    ) -> AblationTable:
        chosen, spec = (frame["mode"] == mode).to_numpy(), self.suite.resampling
        return AblationTable(
            reference=self.reference,
            step=step,
            frame=frame[chosen].reset_index(drop=True),
            kl=arrays[kl][chosen],
            loss_increase=arrays["loss_increase"][chosen],
            clean_loss=arrays["clean_loss"],
            predictions=arrays["predictions"],
            resampling=Resampling(resamples=spec.resamples, level=spec.level, seed=spec.seed),
        )

    def profiles(self, *, model: str | None = None) -> NeuronProfiles:
        """What is known of every single neuron of one model, the reference by default, at the last checkpoint.

        Raises ArtifactMissing, and UserError for a model that is not the suite's.
        """
        name = model or self.reference
        if name not in self.suite.zoo.models:
            known = ", ".join(self.suite.zoo.models)
            raise UserError(f"suite {self.suite.name}: profiles: expected one of {known}, got {name!r}")
        ref = self.model(name, self.checkpoints[-1])
        return NeuronProfiles.from_table(
            self._read(profiles_key(self.work, ref)).table,
            model=name,
            step=ref.step,
            tokens=self.corpus().sha256,
            predictions=self.suite.corpus.row_length - 1,
            level=self.suite.resampling.level,
        )

    def training_log(self) -> pd.DataFrame:
        """One row per logged training step of each model: model, step, tokens, loss, held_out_loss, seconds, device."""
        return pd.DataFrame(self.work.zoo.training_log())

    def training_digest(self) -> str:
        """The sha256 of the training log's file; empty where there is none."""
        return self.work.zoo.training_digest

    def provenance(self) -> pd.DataFrame:
        """One row per artifact of the suite that is there: stage, digest, origin, device, seconds, peak memory.

        ``wall_seconds`` leaves out the ``shared`` runs that it rests on (a tuple of SharedRun), which others do too.
        """
        rows = [
            {
                "stage": k.stage,
                "digest": k.digest,
                "origin": found.origin,
                **found.provenance.as_dict(),
                "shared": found.provenance.shared,
            }
            for k in suite_keys(self.work)
            if (found := self.work.store.read(k)) is not None
        ]
        return pd.DataFrame(rows)

    def imported(self) -> Imported:
        """How much of the suite's evidence was computed elsewhere, where it came from, and what of it was checked."""
        return imported_evidence(self.work)

    def _ablation_keys(self, step: int) -> Mapping[str, tuple[Key, Key]]:
        # A key rests on those of all tables that chose the sets: too much to put together for every claim.
        place = ("ablation keys", step)
        if place not in self.work.cache:
            self.work.cache[place] = {ref.name: both for ref, both in ablation_keys(self.work, step).items()}
        return cast("Mapping[str, tuple[Key, Key]]", self.work.cache[place])

    def _pair(self, partner: str, checkpoint: HasStep, reference: str | None) -> Pair:
        name = reference or self.reference
        self._check_reference(name)
        for model, known in ((name, self.suite.references), (partner, self.partners(name))):
            if model not in known:
                raise UserError(f"suite {self.suite.name}: expected one of {', '.join(known)}, got {model!r}")
        return Pair(self.model(name, checkpoint), self.model(partner, checkpoint))

    def _check_reference(self, name: str) -> None:
        # A claim about every model as the reference means those that a narrowed suite left out too.
        if name in self.suite.zoo.models and name not in self.suite.references:
            known = ", ".join(self.suite.references)
            raise NotOnSuite(f"suite {self.suite.name}: references: expected one of {known}, got {name!r}")

    def _candidates(self, reference: ModelRef) -> Mapping[str, Any]:
        return self._read(candidates_key(self.work, reference)).arrays

    def _table(self, pair: Pair, key: Key, candidates: Mapping[str, Any], place: int) -> UniversalityTable:
        frame, known = self._read(key).table, ("universality table", key.digest)
        if known not in self.work.cache:
            self.work.cache[known] = self._measurable(pair, frame, candidates, place)
        return cast("UniversalityTable", self.work.cache[known])

    def _measurable(
        self, pair: Pair, frame: pd.DataFrame, candidates: Mapping[str, Any], place: int
    ) -> UniversalityTable:
        spec = self.suite.resampling
        return UniversalityTable(
            reference=pair.reference.name,
            partner=pair.partner.name,
            step=pair.reference.step,
            frame=with_excess(frame),
            candidates=candidates["neuron"],
            influence=read_influence(candidates["influence"][place]),
            draws=candidates["draws"][place],
            resampling=Resampling(resamples=spec.resamples, level=spec.level, seed=spec.seed),
        )

    def _read(self, key: Key) -> Artifact:
        if key.digest not in self.work.cache:
            self.work.cache[key.digest] = read(self.work, key)
        self.reads.append(key.digest)
        return cast("Artifact", self.work.cache[key.digest])


def open_evidence(
    suite: str,
    *,
    store: Path,
    root: Path | None = None,
    recompute: bool = False,  # noqa: ARG001 - called like open_study; evidence of others is never computed again here
    warn: Warn = print,
    progress: Progress | None = None,
) -> Study:
    """The study of a suite from the folder of artifacts ``store`` alone: nothing else answers, nothing is written.

    Called like :func:`open_study`, so that the claims can be judged on it.  Damage there is an error and is left where
    it is, because the evidence is somebody else's.
    """
    work = open_workspace(suite, root=root, warn=warn, progress=progress)
    # The working store is written on demand only, and reading demands nothing.
    return Study(replace(work, store=Store(work.root / WORK_FOLDER / "unused", [store], warn=warn), cache={}))


def open_study(
    suite: str,
    *,
    root: Path | None = None,
    store: Path | None = None,
    recompute: bool = False,
    remote: str | None = None,
    warn: Warn = print,
    progress: Progress | None = None,
    narrowing: Mapping[str, Any] | None = None,
) -> Study:
    """The study of a suite, or of what ``narrowing`` leaves of it, from the working store, the shipped and the imported
    evidence.

    With ``remote`` what is missing is imported from there first (:func:`universal_neurons.sharing.exchange.pull`).
    Raises SuiteNotFetched where nobody asked the hub yet what the suite is.  With ``recompute`` everything is computed
    again from the weights first, and nothing else is read: a recomputation that was killed goes on, one that was
    finished begins anew.  It is compared with the shipped evidence, and raises
    EvidenceDiffers beyond the stated tolerance, or beyond what rounding alone can move.
    """
    if remote is not None:
        if recompute:
            raise UserError("--recompute reads nothing that was computed elsewhere; leave out --remote")
        from universal_neurons.sharing.exchange import pull

        pull(suite, remote, root=root, store=store, warn=warn, progress=progress, narrowing=narrowing)
    work = open_workspace(
        suite,
        root=root,
        store=store,
        recompute=recompute,
        local=recompute,
        warn=warn,
        progress=progress,
        narrowing=narrowing,
    )
    if not recompute:
        check_pinned(work)
    else:
        from universal_neurons.pipeline.stages import recomputed
        from universal_neurons.recheck import ablation_check, profile_check, recomputation_check

        recomputed(work)
        checks = recomputation_check(work), ablation_check(work), profile_check(work)
        found = [str(check) for check in checks if check is not None]
        warn(f"recomputed: {'; '.join(found) or 'nothing shipped to compare with'}")
    _warn_of_imports(work)
    return Study(work)


def _warn_of_imports(work: Workspace) -> None:
    # Where not even the tokens are known nothing can be judged, and every claim says so.
    with suppress(ArtifactMissing):
        unchecked = imported_evidence(work).unchecked
        if unchecked:
            work.warn(
                f"{len(unchecked)} artifacts of suite {work.suite.name} were imported, and no sample of them was "
                f"computed again here; run: {work.suite.command('universal-neurons store verify --recompute-sample')}"
            )
