"""Scores of all pairs of several models from one text, by the kernels that the suites are scored with.

Differs from a suite in what is read and what is kept, not in a formula: moments, rotations, halves and block influences
come from ``core``, tables and intervals from ``measures``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from universal_neurons.core.tiling import BudgetTooSmall, Workload, passes
from universal_neurons.errors import UserError
from universal_neurons.matching.alignment import AlignedText, TextTooShort, aligned_text
from universal_neurons.matching.directions import MatchedDirection, MatchedModel, kept_partners, resampling
from universal_neurons.matching.result import MatchResult
from universal_neurons.measures.excess import with_excess
from universal_neurons.measures.influence import read_influence, stored_influence
from universal_neurons.stages.batches import batch_rows, shape_workload
from universal_neurons.stages.resources import free_bytes, give_back, less_margin, rotation_workers
from universal_neurons.stages.scores import score_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import torch
    from torch import Tensor

    from universal_neurons.core.accumulator import PairwiseAccumulator
    from universal_neurons.core.activations import NeuronReader
    from universal_neurons.core.moments import NonFiniteActivationError
    from universal_neurons.core.scoring import ScoringRequest, TileScores
    from universal_neurons.core.spans import SpanRows
    from universal_neurons.core.tiling import Pass
    from universal_neurons.core.universality import SelectedPairs
    from universal_neurons.matching.models import OpenedModel
    from universal_neurons.matching.settings import MatchSettings
    from universal_neurons.progress import Progress

# Pairs whose standardised activations are held at once, both neurons, for a batch of tokens.
_PAIRS_AT_ONCE = 8192
# Chunks of tokens whose products are added up in float32, 4 bytes a sum: each addition is off by up to 6e-8 of the sum,
# 200 of them by about 5e-7.  What comes of it is measured in every pass.
_FEW_CHUNKS, _SINGLE = 200, 4


class NotFinite(UserError):
    """A model has activations that are infinite or not numbers."""


def scored(
    subjects: Sequence[OpenedModel],
    documents: Iterable[str],
    settings: MatchSettings,
    *,
    device: torch.device,
    progress: Progress,
    memory: int | None = None,
) -> dict[tuple[int, int], MatchResult]:
    """The results of all pairs of models on the same text, by position.

    ``memory``: bytes that may be used on ``device``, by default what is free less a margin.
    Raises :class:`TextTooShort`, :class:`NotFinite`, and UserError where memory does not suffice.
    """
    lengths = [min(settings.context, one.context) for one in subjects]
    text = aligned_text(documents, [one.tokenizer for one in subjects], spans=settings.tokens, lengths=lengths)
    if text.rows < 2:
        raise TextTooShort(f"text: expected at least 2 rows of up to {min(lengths)} tokens, got {text.rows}; give more")
    run = _Run(subjects, text, settings, device, progress, memory)
    running = run.moments()
    influences = run.influences(running)
    models = [
        MatchedModel(name, one.digest, one.widths, count)
        for name, one, count in zip(_names(subjects), subjects, text.token_counts(), strict=True)
    ]
    directions = {
        (x, y): run.direction(models[x], models[y], running, (x, y), influences[x, y])
        for x, y in permutations(range(len(models)), 2)
    }
    return {
        (x, y): MatchResult(directions[x, y], directions[y, x], settings, text.spans, text.rows, run.blocks)
        for x, y in combinations(range(len(models)), 2)
    }


def _names(opened: Sequence[OpenedModel]) -> list[str]:
    """Names that differ: a model that was given twice, or two loaded ones of a class, get numbers."""
    names = [one.name for one in opened]
    return [f"{name} ({place + 1})" if names.count(name) > 1 else name for place, name in enumerate(names)]


@dataclass(eq=False)
class _Run:
    subjects: Sequence[OpenedModel]
    text: AlignedText
    settings: MatchSettings
    device: torch.device
    progress: Progress
    memory: int | None

    def __post_init__(self) -> None:
        import torch

        from universal_neurons.core.activations import neuron_reader, row_blocks
        from universal_neurons.core.matmul import matmul_precision

        self.widths = [one.widths for one in self.subjects]
        # Even, so that both halves have as many.
        self.blocks = min(self.settings.blocks, self.text.rows) // 2 * 2
        self.label = row_blocks(torch.from_numpy(self.text.row), rows=self.text.rows, blocks=self.blocks)
        self.spans = [self._spans(place) for place in range(len(self.subjects))]
        with matmul_precision("highest"):
            self.readers: list[NeuronReader] = [
                neuron_reader(one.model.to(self.device), rows.rows[:1, : int(rows.lengths[0])].to(self.device))
                for one, rows in zip(self.subjects, self.spans, strict=True)
            ]

    def _spans(self, place: int) -> SpanRows:
        import torch

        from universal_neurons.core.spans import SpanRows

        parts = (self.text.tokens[place], self.text.lengths[place], self.text.row)
        return SpanRows(*map(torch.from_numpy, (*parts, self.text.first[place], self.text.last[place])))

    @property
    def row_length(self) -> int:
        return max(rows.rows.shape[1] for rows in self.spans)

    def moments(self) -> TileScores:
        """The scores of all directions, from as few passes over the text as memory allows."""
        from universal_neurons.core.scoring import TileScores

        load = self._workload()
        running = TileScores(load, self._request())
        for one in self._planned(load):
            self._add(running, load, one)
            give_back()
        return running

    def _add(self, running: TileScores, load: Workload, one: Pass) -> None:
        """Score one pass; its sums end with it, because two passes' would take twice what was asked for."""
        from universal_neurons.core.matmul import BOUNDS, mode_of_products
        from universal_neurons.core.moments import NonFiniteActivationError

        try:
            with mode_of_products("float32", device=self.device):
                accumulator = self._accumulated(load, one)
        except NonFiniteActivationError as error:
            raise self._not_finite(error) from None
        wrong = accumulator.largest_error(running.unions)
        if not wrong <= BOUNDS["float32"]:
            raise UserError(
                f"correlations: expected within {BOUNDS['float32']:g} of float64 on a sample, got {wrong:.2g}"
            )
        self.progress.start("baselines and partners", 1)
        with mode_of_products("float32", device=self.device):
            running.take(accumulator)
        self.progress.finish()

    def _accumulated(self, load: Workload, one: Pass) -> PairwiseAccumulator:
        from universal_neurons.core.accumulator import PairwiseAccumulator

        accumulator = PairwiseAccumulator.of(load, one.tiles, device=self.device)
        for values, label in self._stream("moments", [one.layers(place) for place in range(len(self.subjects))]):
            accumulator.add(values, label)
            del values
        accumulator.finish()
        return accumulator

    def _workload(self) -> Workload:
        weights = sum(p.numel() * p.element_size() for one in self.subjects for p in one.model.parameters())
        pairs = list(combinations(range(len(self.subjects)), 2))
        load = shape_workload(
            self.widths,
            pairs,
            groups=2,
            row_length=self.row_length,
            weights=weights,
            device=self.device.type,
            readers=1,
        )
        # Half the memory of the sums is half the passes over the text.
        few = self.text.spans <= _FEW_CHUNKS * load.chunk_tokens
        return replace(load, rotated_null=self.settings.null, sum_bytes=_SINGLE if few else load.sum_bytes)

    def _request(self) -> ScoringRequest:
        from universal_neurons.core.scoring import ScoringRequest
        from universal_neurons.core.universality import RotationSettings

        settings, directions = self.settings, tuple(permutations(range(len(self.subjects)), 2))
        return ScoringRequest(
            directions=directions,
            rotated=directions if settings.null else (),
            names=tuple(one.digest for one in self.subjects),
            baseline=RotationSettings(
                kind=settings.rotation, seed=settings.seed, draws=settings.draws,
                half_draws=min(settings.half_draws, settings.draws),
            ),
            top_k=settings.top_k,
            half_top_k=settings.top_k,
            workers=rotation_workers(self.device),
        )  # fmt: skip

    def _planned(self, load: Workload) -> tuple[Pass, ...]:
        memory = self.memory
        if memory is None:
            memory = load.resident + less_margin(free_bytes(self.device), self.device.type)
        try:
            return passes(load, memory)
        except BudgetTooSmall as error:
            raise UserError(f"{error}; free some, or give more (--memory)") from None

    def _stream(self, title: str, layers: Sequence[Sequence[int]]) -> Iterator[tuple[list[Tensor], Tensor]]:
        from universal_neurons.core.matmul import matmul_precision
        from universal_neurons.core.spans import pooled_stream

        self.progress.start(title, self.text.spans)
        batches = pooled_stream(
            self.readers, self.spans, layers,
            pooling=self.settings.pooling, batch_rows=batch_rows(self.row_length), device=self.device,
        )  # fmt: skip
        start = 0
        while True:
            # Activations are never rounded, whatever the precision of the products is.
            with matmul_precision("highest"):
                batch = next(batches, None)
            if batch is None:
                break
            values, rows = batch
            yield values, self.label[start : start + len(rows)]
            start += len(rows)
            self.progress.advance(len(rows))
            del values, batch
        self.progress.finish()

    def _not_finite(self, error: NonFiniteActivationError) -> NotFinite:
        if error.layer is None:
            raise error
        model, layer = error.layer
        where = f"{self.subjects[model].name}, layer {layer}"
        return NotFinite(f"{where}: activations: expected finite numbers, got infinity or NaN")

    def influences(self, running: TileScores) -> dict[tuple[int, int], npt.NDArray[np.float64]]:
        """The influence (block, neuron, rank) of each block of text on the correlations with the kept partners."""
        from universal_neurons.core.matmul import mode_of_products
        from universal_neurons.core.universality import BlockInfluence

        selected = list(self._selected(running))
        spreads = [running.spread(place).on(self.device) for place in range(len(self.subjects))]
        weighed = BlockInfluence(spreads, [pairs for _, pairs in selected], blocks=self.blocks)
        every = [range(len(widths)) for widths in self.widths]
        with mode_of_products("float32", device=self.device):
            for values, label in self._stream("intervals", every):
                weighed.add(values, label)
                del values
        gathered: dict[tuple[int, int], list[npt.NDArray[np.float64]]] = {}
        for (direction, _), part in zip(selected, weighed.influence(), strict=True):
            gathered.setdefault(direction, []).append(part.numpy())
        return {
            (x, y): np.concatenate(parts, axis=1).reshape(self.blocks, sum(self.widths[x]), -1)
            for (x, y), parts in gathered.items()
        }

    def _selected(self, running: TileScores) -> Iterator[tuple[tuple[int, int], SelectedPairs]]:
        import torch

        from universal_neurons.core.universality import SelectedPairs

        for x, y in permutations(range(len(self.subjects)), 2):
            partner = running.scores(x, y).scores().partner
            neuron = torch.arange(len(partner)).repeat_interleave(partner.shape[1])
            for part, flat in zip(
                *(torch.split(both, _PAIRS_AT_ONCE) for both in (neuron, partner.flatten())), strict=True
            ):
                yield (x, y), SelectedPairs(x, y, part, flat)

    def direction(
        self,
        model: MatchedModel,
        partner: MatchedModel,
        running: TileScores,
        pair: tuple[int, int],
        influence: npt.NDArray[np.float64],
    ) -> MatchedDirection:
        """The direction of a ``pair`` as it was scored; influences as precise as they are stored."""
        scores = running.scores(*pair).scores()
        frame, stored = with_excess(score_table(scores)), read_influence(stored_influence(influence))
        halves = np.stack([half.partner.numpy() for half in (scores.half_a, scores.half_b)])
        null = running.rotated_scores(*pair).scores().partner.numpy() if self.settings.null else None
        return MatchedDirection(
            model=model,
            partner=partner,
            frame=frame,
            influence=stored,
            draws=scores.baseline_draws.numpy(),
            resampling=resampling(self.settings),
            kept=kept_partners(frame, stored, scores.partner.numpy(), halves, null),
        )
