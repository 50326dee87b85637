"""Rosetta neurons: mutual best partners of two models, and classes of them over three or more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from universal_neurons.errors import UserError
from universal_neurons.matching.directions import resampling
from universal_neurons.measurement import CEILING
from universal_neurons.measures.mutual import (
    KeptPartners,
    ModelPair,
    class_share,
    mutual_pairs,
    mutual_share,
    spanning_classes,
)
from universal_neurons.render.escaping import html_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from universal_neurons.matching.directions import MatchedDirection, MatchedModel
    from universal_neurons.matching.result import MatchResult
    from universal_neurons.matching.settings import MatchSettings
    from universal_neurons.measurement import Measurement
    from universal_neurons.measures.arrays import Integers

# The rank of mutual partners beside the best: the most that leaves replicates others to choose from, at most this.
RANK = 2


@dataclass(frozen=True, eq=False)
class RosettaResult:
    """Several models that were matched pair by pair on the same text; ``matches`` by position of the models."""

    matches: Mapping[ModelPair, MatchResult]

    @property
    def models(self) -> tuple[MatchedModel, ...]:
        """The models, in the order given."""
        first = next(iter(self.matches.values())).models[0]
        return first, *(result.models[1] for (x, _), result in self.matches.items() if x == 0)

    @property
    def settings(self) -> MatchSettings:
        """The settings of all matches."""
        return next(iter(self.matches.values())).settings

    @cached_property
    def kept(self) -> dict[ModelPair, KeptPartners]:
        """The partners of every direction."""
        return {pair: direction.kept for pair, direction in self.directions()}

    def directions(self) -> Iterator[tuple[ModelPair, MatchedDirection]]:
        """Every direction by the positions of its models."""
        for (x, y), result in self.matches.items():
            yield (x, y), result.forward
            yield (y, x), result.backward

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """The mutual best pairs of all models: model, layer and neuron of both, correlation, and both excesses."""
        return pd.concat([self._pairs(pair) for pair in self.matches], ignore_index=True)

    def _pairs(self, pair: ModelPair) -> pd.DataFrame:
        result = self.matches[pair]
        x, y = mutual_pairs(self.kept[pair].partner, self.kept[pair[::-1]].partner).T
        forward, backward = result.forward.frame, result.backward.frame
        columns = {"model": result.models[0].name, **_places(forward, x)}
        columns |= {"partner_model": result.models[1].name, **_places(backward, y, "partner_")}
        columns |= {"correlation": forward["correlation"].to_numpy()[x], "excess": forward["excess"].to_numpy()[x]}
        return pd.DataFrame({**columns, "partner_excess": backward["excess"].to_numpy()[y]})

    @cached_property
    def classes(self) -> pd.DataFrame:
        """The classes with one neuron of every model: a row each, with columns ``layer`` and ``neuron`` per model.

        ``correlation`` is the smallest of the class's mutual pairs.  Connected mutual pairs with two neurons of one
        model are no class.
        """
        count = len(self.models)
        frames = [dict(self.directions())[model, (model + 1) % count].frame for model in range(count)]
        members = spanning_classes({pair: one.partner for pair, one in self.kept.items()}, list(map(len, frames)))
        columns = {
            f"{what}_{model + 1}": frame[what].to_numpy()[members[:, model]]
            for model, frame in enumerate(frames)
            for what in ("layer", "neuron")
        }
        weakest = np.full(len(members), np.inf)
        for x, y in combinations(range(count), 2):
            kept, partner = self.kept[x, y], members[:, y]
            mutual = (kept.partner[members[:, x], 0] == partner) & (
                self.kept[y, x].partner[partner, 0] == members[:, x]
            )
            weakest = np.where(mutual, np.minimum(weakest, kept.correlation[members[:, x], 0]), weakest)
        return pd.DataFrame({**columns, "correlation": weakest})

    @cached_property
    def measurements(self) -> dict[str, Measurement]:
        """The shares of neurons in mutual pairs, of mutual partners of rank 2, and in classes over all models.

        Each with its interval over blocks of text; in the details ``null`` is the share of the rotated models and
        ``ceiling`` the agreement of both halves of the text.
        """
        how = resampling(self.settings)
        found = {}
        for pair, direction in self.directions():
            found[f"mutual best: {direction}"] = mutual_share(self.kept, pair, how)
            if self.settings.top_k > RANK:
                found[f"mutual of rank {RANK}: {direction}"] = mutual_share(self.kept, pair, how, rank=RANK)
        if len(self.models) > 2:
            found[f"classes over {len(self.models)} models"] = class_share(self.kept, len(self.models), how)
        return found

    @property
    def summary(self) -> pd.DataFrame:
        """One row per measurement: quantity, value, low, high, null, ceiling."""
        return pd.DataFrame(
            [
                {
                    "quantity": name, "value": share.value, "low": share.low, "high": share.high,
                    "null": share.details.get("null", np.nan), "ceiling": share.details.get(CEILING, np.nan),
                }
                for name, share in self.measurements.items()
            ]
        )  # fmt: skip

    def __str__(self) -> str:
        return "\n".join(
            f"{name}: {share.value:.1%} [{share.low:.1%}, {share.high:.1%}]; rotated models "
            f"{share.details.get('null', np.nan):.1%}; halves agree in {share.details.get(CEILING, np.nan):.1%}"
            for name, share in self.measurements.items()
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html_text(name)}</td>{_cells(share)}</tr>" for name, share in self.measurements.items()
        )
        head = "".join(f"<th scope='col'>{name}</th>" for name in ("share", "value", "interval", "rotated", "ceiling"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(share: Measurement) -> str:
    null, ceiling = (share.details.get(name, np.nan) for name in ("null", CEILING))
    numbers = (f"{share.value:.1%}", f"{share.low:.1%} to {share.high:.1%}", f"{null:.1%}", f"{ceiling:.1%}")
    return "".join(f"<td>{number}</td>" for number in numbers)


def _places(frame: pd.DataFrame, rows: Integers, prefix: str = "") -> dict[str, Integers]:
    return {f"{prefix}{what}": frame[what].to_numpy()[rows] for what in ("layer", "neuron")}


def check_rosetta(models: int, settings: MatchSettings) -> None:
    """Raise UserError for too few models or partners."""
    if models < 2:
        raise UserError(f"rosetta: expected at least 2 models, got {models}")
    if settings.top_k < 2:
        raise UserError(f"top_k: expected at least 2, so that replicates can choose partners, got {settings.top_k}")
