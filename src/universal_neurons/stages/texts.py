"""Texts: the reference against all its partners on other texts, at the last checkpoint.

The same passes and scores as the universality tables, over as many tokens of another text, in the same rows and under
the same mask.  The tokens are sampled anew whenever they are needed; evidence has their identity.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from universal_neurons.artifacts.provenance import capture
from universal_neurons.errors import NotOnSuite
from universal_neurons.measures.excess import with_excess
from universal_neurons.measures.profiles import rounded_columns
from universal_neurons.stages import costs
from universal_neurons.stages.base import (
    Case,
    Reader,
    example_count,
    example_dice,
    example_neurons,
    neuron_columns,
    own_pairs,
    step_of,
)
from universal_neurons.stages.comparison import (
    EXCUSED,
    TOLERANCE,
    Choices,
    Comparison,
    Difference,
    absolute_differences,
)
from universal_neurons.stages.costs import Cost
from universal_neurons.stages.models import LoadedModels
from universal_neurons.stages.resources import device
from universal_neurons.stages.rounding import FURTHEST
from universal_neurons.stages.scores import RequestedScores, score_table, step_scores
from universal_neurons.stages.tokens import (
    ONLY,
    TOKENS,
    TokenTable,
    example_record,
    reading_cost,
    text_recipe,
    text_tokens,
    token_record,
)
from universal_neurons.stages.universality import moments_cost, no_candidates, scoring_cost, universality_table
from universal_neurons.stages.workspace import corpus_fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from universal_neurons.artifacts.codec import Payload
    from universal_neurons.artifacts.key import JSON
    from universal_neurons.inputs.corpus import TokenSet
    from universal_neurons.measures.tables import UniversalityTable
    from universal_neurons.stages.base import Artifacts
    from universal_neurons.stages.costs import Sizes
    from universal_neurons.stages.workspace import Workspace

    # By partner.
    TextTables = dict[str, "UniversalityTable"]

SCORES = ("excess", "excess_half_a", "excess_half_b")
# Significant bits of an excess: steps of 0.0001 between a half and one, so that few neurons change sides.
BITS = 12
# Two excesses within the tolerance may lie on both sides of the middle of a step.
MOVED = TOLERANCE + 2.0**-BITS


class Texts(TokenTable):
    """The excess of every neuron of the suite's reference against every partner on one text, with its halves."""

    name: ClassVar[str] = "texts"
    version: ClassVar[int] = 2  # 2: of the suite's reference alone
    parts: ClassVar[tuple[str, ...]] = ("texts", "texts-tokens")
    subject: ClassVar[str] = "the reference on {case.text}"

    def cases(self, work: Workspace) -> tuple[Case, ...]:
        """Every text of the suite at the last step."""
        return tuple(Case(work.last_step, text=name) for name in work.suite.variants.texts)

    def parameters(self, work: Workspace, case: Case) -> dict[str, JSON]:
        """The text, how its tokens are chosen, and how correlations and baselines are estimated."""
        spec = work.suite.universality
        return {
            "text": case.text,
            "step": case.step,
            "reference": work.reference,
            "partners": list(work.partners(work.reference)),
            "rows": TOKENS.parameters(work, ONLY),
            "rotation": spec.rotation,
            "draws": spec.draws,
            "half_draws": spec.half_draws,
            "seed": spec.seed,
            "blocks": spec.blocks,
            "bits": BITS,
            "dtype": spec.precision,
        }

    def inputs(self, work: Workspace, case: Case) -> dict[str, str]:
        """The weights of all models, the text and the tokenizer.

        The tokens are named by what they are chosen from: keys must not depend on text that is not here.
        """
        return {
            **{f"model {ref.name}": ref.digest for ref in work.models(step_of(case))},
            "corpus": corpus_fingerprint(work, text_recipe(work, case.text)),
            "tokenizer": work.zoo.tokenizer_digest,
        }

    def cost(self, work: Workspace, sizes: Sizes, cases: Sequence[Case]) -> Cost:
        """The cost of reading each text, of the passes over its tokens and of scoring the pairs."""
        pairs = [(0, other) for other in range(1, sizes.models)]
        load = sizes.workload(sizes.models, pairs, groups=2, row=sizes.shape.row)
        passes = moments_cost(sizes, load)
        scored = scoring_cost(sizes, load, work.suite.universality, pairs, tables=0, nulls=0)
        read = [reading_cost(work, text_recipe(work, case.text)) for case in cases]
        both = costs.summed(passes.work, scored.work)
        return Cost(
            costs.summed(*(one.work for one in read), *[both] * len(cases)),
            passes=passes.passes,
            device_bytes=max(passes.device_bytes, scored.device_bytes),
            host_bytes=max(scored.host_bytes, *(one.host_bytes for one in read)),
            disk_bytes=len(cases) * len(pairs) * len(SCORES) * costs.SINGLE * sizes.shape.neurons,
        )

    def produce(self, work: Workspace, case: Case) -> None:
        """Compute and commit the pairs on one text; then forget the state of the passes."""
        with capture(device=str(device(work))) as run:
            tokens = text_tokens(work, case.text)
            pairs = _pairs(work, case)
            names = (work.reference, *work.partners(work.reference))
            models = replace(LoadedModels.of(work, step_of(case), names), tokens=tokens)
            scores = step_scores(models, RequestedScores(pairs), title=case.text)
            columns = {pair.partner: with_excess(score_table(scores.table(pair))) for pair in pairs}
        payloads = self.payloads(work, columns, tokens)
        self.commit(work, case, payloads, replace(run.provenance, precision=scores.passes.precision))
        scores.passes.forget()

    def payloads(self, work: Workspace, scored: Mapping[str, Any], tokens: TokenSet) -> dict[str, Payload]:
        """The artifacts: a row per neuron with the scores against every partner, and the record of the tokens."""
        columns = {f"{score} {name}": frame[score].to_numpy() for name, frame in scored.items() for score in SCORES}
        return {
            "texts": pd.DataFrame(neuron_columns(work) | rounded_columns(columns, bits=BITS)),
            "texts-tokens": token_record(tokens),
        }

    def case(self, work: Workspace, asked: Case) -> Case:
        """The case of a text; raises NotOnSuite for one that the suite does not have, UserError for another step."""
        if asked.text not in work.suite.variants.texts:
            known = ", ".join(work.suite.variants.texts) or "none"
            raise NotOnSuite(f"suite {work.suite.name}: variants.texts: expected one of {known}, got {asked.text!r}")
        return super().case(work, Case(asked.step, text=asked.text))

    def read(self, reader: Reader, work: Workspace, case: Case) -> TextTables:
        """The tables by partner; without candidates, so that shares have no interval over tokens."""
        frame = reader(self, case)[0].table
        nothing = no_candidates(work, draws=work.suite.universality.draws)
        return {
            pair.partner: universality_table(work, pair, _against(frame, pair.partner), **nothing)
            for pair in _pairs(work, case)
        }

    def example(self, work: Workspace, case: Case) -> Mapping[str, Payload]:
        """Scores of which about half are universal, and the record of made-up tokens."""
        dice, count = example_dice(case), example_count(work)
        names = [f"{score} {pair.partner}" for pair in _pairs(work, case) for score in SCORES]
        scores = {name: dice.uniform(0.3, 1.0, count).astype(np.float32) for name in names}
        frame = pd.DataFrame(example_neurons(work) | scores)
        return {"texts": frame, "texts-tokens": example_record(work, case.text)}

    def comparison(self, work: Workspace, case: Case, stored: Artifacts, again: Artifacts) -> Comparison:
        """The stored scores against recomputed ones, and the identity of the tokens.

        A neuron that is never on in a text is little more than what rounding leaves (module
        :mod:`universal_neurons.stages.rounding`): a few scores may move further, as far as rounding can move any.
        """
        mine, theirs = (side[0].table for side in (stored, again))
        names = [name for name in mine if name not in ("layer", "neuron")]
        moved = np.stack([absolute_differences(mine[name].to_numpy(), theirs[name].to_numpy()) for name in names])
        same = stored[1].document["ref"] == again[1].document["ref"]
        differences = {
            "excess": Difference(float(moved.max(initial=0.0)), FURTHEST),
            "tokens": Difference(0.0 if same else np.inf, 0.0),
        }
        beyond = Choices(f"scores beyond {MOVED:.0e}", int((moved > MOVED).sum()), moved.size, EXCUSED)
        return Comparison(f"{self.name} on {case.text}", "scores", moved.size, differences, beyond)


TEXTS = Texts()


def _pairs(work: Workspace, case: Case) -> tuple[Case, ...]:
    """The suite's reference against every partner at the step of a case."""
    return own_pairs(work, Case(case.step, work.reference))


def _against(frame: pd.DataFrame, partner: str) -> pd.DataFrame:
    """The columns of one partner under the names that universality tables give them; best partners are not kept."""
    scores = {score: frame[f"{score} {partner}"] for score in SCORES}
    known = frame[["layer", "neuron"]].assign(**scores)
    return known.assign(partner_layer=np.int16(-1), correlation=np.float32(np.nan))
