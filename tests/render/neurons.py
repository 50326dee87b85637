"""A made-up suite of neurons of any size, with text of its own: the explorer is tested and timed without models."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tests.render.explained import made_duplicates, made_explanations, made_labels
from universal_neurons.inputs.suite import Checkpoint, Suite, load_suite
from universal_neurons.inputs.suite_file import ZooSpec
from universal_neurons.measures.attention import AttentionTables
from universal_neurons.measures.entropy import CLAMPS, EntropyTables, NeuronsBelow
from universal_neurons.measures.predictions import PredictionTables
from universal_neurons.measures.profiles import LEVELS, WINDOW, NeuronProfiles
from universal_neurons.measures.properties import EIGHT
from universal_neurons.measures.tables import ReferenceTables, Resampling, UniversalityTable
from universal_neurons.render.pages.explorer import STATISTICS, LocalText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from universal_neurons.measures.study import HasStep

    # For the type checker a fake stands wherever a Study is expected.
    AnyStudy = Any
else:
    AnyStudy = object

CHECKOUT = Path(__file__).parents[2]
CHECKPOINTS = tuple(Checkpoint(step=1000 * i, share=i / 4, label=f"{25 * i} %") for i in (1, 2, 3, 4))
TOPS, BINS, SHOWN, BLOCKS, ROW = 8, 32, 10, 24, 128
DIGEST = "c3" * 32
WORDS = (
    "import",
    " self",
    "def",
    " return",
    "(",
    "):",
    "\n    ",
    " the",
    "ing",
    " value",
    ".",
    '"""',
    " =",
    "None",
    "s",
)
VOCABULARY = [*WORDS, *(f" word{number}" for number in range(500))]


def local_text(vocabulary: Sequence[str] = VOCABULARY, rows: int = 400) -> LocalText:
    """Rows of random tokens."""
    drawn = np.random.default_rng(5).integers(0, len(vocabulary), (rows, ROW))
    return LocalText(
        vocabulary, np.where(np.random.default_rng(6).random(drawn.shape) < 0.6, drawn % 15, drawn), DIGEST
    )


@dataclass
class FakeNeurons(AnyStudy):  # type: ignore[misc]
    """What the explorer asks of a study; ``width`` neurons in each layer; ``prefix`` begins the names of labels."""

    models: tuple[str, ...] = ("a", "b", "c", "d", "e")
    layers: int = 4
    width: int = 160
    vocabulary: int = len(VOCABULARY)
    title: str = "Made up: models of random numbers"
    prefix: str = ""
    suite: Suite = field(init=False)

    def __post_init__(self) -> None:
        zoo = ZooSpec(kind="fixtures", path="zoo/mini", models=self.models, reference=self.models[0])
        changes = {"title": self.title, "zoo": zoo, "layers": self.layers, "checkpoints": CHECKPOINTS}
        changes["references"] = self.models
        self.suite = load_suite("mini", CHECKOUT).model_copy(update=changes)
        self._tables = cache(self._made_tables)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        return self.suite.checkpoints

    @property
    def untrained(self) -> Checkpoint | None:
        return Checkpoint(step=0, share=0.0, label="untrained")

    @property
    def reference(self) -> str:
        return self.models[0]

    def partners(self, reference: str | None = None) -> tuple[str, ...]:
        return tuple(name for name in self.models if name != (reference or self.reference))

    def reference_tables(self, *, checkpoint: HasStep, reference: str | None = None) -> ReferenceTables:
        name = reference or self.reference
        assert checkpoint.step or name == self.reference, "untrained the reference alone is scored"
        return self._tables(checkpoint.step, name)

    def _made_tables(self, step: int, reference: str) -> ReferenceTables:
        place = self.models.index(reference)
        lasting = np.random.default_rng(place)
        neurons = self.layers * self.width
        shared = lasting.random(neurons) < 0.08
        level = np.where(shared, lasting.normal(0.62, 0.13, neurons), lasting.beta(1.3, 8, neurons) * 0.8)
        rng = np.random.default_rng([step, place])
        tables = {}
        for partner in self.partners(reference):
            excess = np.clip(level * (1 - np.exp(-step / 900)) + rng.normal(0, 0.05, neurons), -0.15, 0.97)
            rows = np.flatnonzero(excess > 0.35).astype(np.int32)
            frame: dict[str, Any] = {
                "layer": np.repeat(np.arange(self.layers), self.width).astype(np.int16),
                "neuron": np.tile(np.arange(self.width), self.layers).astype(np.int32),
                "partner_layer": rng.integers(0, self.layers, neurons).astype(np.int16),
                "partner_neuron": rng.integers(0, self.width, neurons).astype(np.int32),
                "excess": excess.astype(np.float32),
                "correlation": (excess + 0.2).astype(np.float32),
                "excess_half_a": excess + rng.normal(0, 0.02, neurons),
                "excess_half_b": excess + rng.normal(0, 0.02, neurons),
            }
            frame["excess"][3] = np.nan
            frame["correlation"][3] = np.nan
            frame["partner_layer"][3] = -1
            tables[partner] = UniversalityTable(
                reference=reference, partner=partner, step=step, frame=pd.DataFrame(frame), candidates=rows[rows != 3],
                influence=rng.normal(0, 0.006, (BLOCKS, int((rows != 3).sum()))),
                draws=np.full((2, int((rows != 3).sum())), 0.2),
                resampling=Resampling(resamples=200, level=0.95, seed=1),
            )  # fmt: skip
        return ReferenceTables(reference=reference, step=step, tables=tables)

    def table(self, stage: str, *, model: str = "a") -> Any:
        made = self._made_roles()
        if stage in made:
            return made[stage]
        rng = np.random.default_rng([9, self.models.index(model)])
        neurons = self.layers * self.width
        names = (*EIGHT, "w_in_norm", "w_out_norm")
        layer, neuron = np.divmod(np.arange(neurons), self.width)
        if stage == "duplicates":
            return made_duplicates(layer, neuron)
        if stage in ("explanations", "labels"):
            seed = [self.models.index(model), 11]
            table = made_explanations(model, layer, neuron, neuron % 7 == 0, seed=seed, prefix=self.prefix)
            return table if stage == "explanations" else made_labels(table, self.vocabulary)
        assert stage == "properties"
        return pd.DataFrame({"layer": layer, "neuron": neuron} | {name: rng.normal(0, 1, neurons) for name in names})

    def _made_roles(self) -> dict[str, Any]:
        """Roles by turns; two neurons that were set to values, and one that turns a head off."""
        neurons = self.layers * self.width
        turn = np.arange(neurons) % 3
        layer, neuron = np.divmod(np.arange(neurons), self.width)
        moments = {
            "kurtosis": np.where(turn > 0, 9.0, 3.0),
            "skewness": np.where(turn == 1, 1.0, -1.0),
            "variance": 0.1,
        }
        tests = {"auc": 0.61, "matched_auc": np.where(turn > 0, 0.5, np.nan), "positives": 7, "members": 5}
        drawn = pd.DataFrame({"kurtosis": np.full(9, 4.0), "variance": 0.2})
        own = pd.DataFrame({"layer": layer, "neuron": neuron} | moments | tests)
        clamps = [
            {"role": role, "source": source, "value": value, "entropy": 2 + value / 10, "scale": 1.0, "first_kept": 0.9}
            for role, source in (("candidate", 3), ("other", 4), ("planted", 5))
            for value in CLAMPS
        ]
        at_mean = {"kind": "neuron", "source": range(self.width), "entropy_change": -0.0005}
        last = pd.DataFrame(at_mean | {"total": np.linspace(0.01, 0.02, self.width), "direct": 0.005})
        below = [
            {"source_layer": self.layers - 2, "source_neuron": 6, "role": "opposed", "value": value, "cosine": -0.7}
            | {"entropy_change": 0.1 - np.nan_to_num(value) / 10, "total": 0.4, "direct": 0.3}
            | {"scale_change": -0.02, "first_kept": 0.8}
            for value in (np.nan, *CLAMPS)
        ]
        path = {"layer": 1, "head": 0, "source_layer": 0, "r_attention_norm": -0.8}
        path |= {"r_activation_attention": -0.9, "r_activation_norm": 0.7}
        paths = [path | {"role": "top", "source_neuron": 2}, path | {"role": "bottom", "source_neuron": 1}]
        heads = pd.DataFrame([{"layer": 1, "head": 0, "to_first": 0.4}, {"layer": 1, "head": 1, "to_first": 0.0}])
        points = pd.DataFrame({"layer": 1, "head": 0, "role": ["top"] * 6 + ["bottom"] * 6})
        points = points.assign(activation=np.linspace(-0.1, 2, 12), attention=np.linspace(0, -0.5, 12))
        return {
            "predictions": PredictionTables(own, drawn, own.head(), 0.95),
            "entropy": EntropyTables(last, pd.DataFrame(clamps), 0.95),
            "entropy-below": NeuronsBelow(pd.DataFrame(below), 0.95),
            "heads": AttentionTables(heads, pd.DataFrame(paths), points, 0.95),
        }

    def profiles(self, *, model: str | None = None) -> NeuronProfiles:
        name = model or self.models[0]
        return made_profiles(
            name, self.models.index(name), step=self.checkpoints[-1].step, layers=self.layers, width=self.width,
            vocabulary=self.vocabulary,
        )  # fmt: skip


@cache
def made_profiles(model: str, seed: int, *, step: int, layers: int, width: int, vocabulary: int) -> NeuronProfiles:
    """Profiles of random numbers."""
    rng = np.random.default_rng([7, seed])
    neurons = layers * width
    frame = pd.DataFrame({name: rng.normal(1, 0.3, neurons) for name in STATISTICS})
    frame["share_positive"] = rng.beta(0.6, 4, neurons)
    frame["maximum"] = rng.gamma(4, 0.9, neurons) + 0.2
    tops = np.sort(rng.beta(6, 1.5, (neurons, TOPS)), axis=1)[:, ::-1] * frame["maximum"].to_numpy()[:, None]
    window = rng.beta(0.25, 2, (neurons, TOPS, sum(WINDOW) + 1))
    window[..., WINDOW[0]] = 1
    levels = np.array(LEVELS)
    below = window[:, : len(levels)] * levels[:, None]
    effect = 10 ** rng.normal(-5.2, 0.6, neurons)
    bins = np.exp(-np.arange(BINS) / rng.uniform(1.5, 6, (neurons, 1)))
    return NeuronProfiles(
        model=model, step=step, tokens=DIGEST,
        frame=frame.assign(
            layer=np.repeat(np.arange(layers), width), neuron=np.tile(np.arange(width), layers)
        ),
        top_row=rng.integers(0, 400, (neurons, TOPS)), top_position=rng.integers(0, ROW, (neurons, TOPS)),
        below_row=rng.integers(0, 400, (neurons, len(levels))),
        below_position=rng.integers(0, ROW, (neurons, len(levels))),
        below_value=frame["maximum"].to_numpy()[:, None] * levels, below_window=below,
        top_value=tops, histogram=bins / bins.sum(axis=1, keepdims=True),
        promoted_token=rng.integers(0, vocabulary, (neurons, SHOWN)),
        promoted_cosine=-np.sort(-rng.beta(4, 20, (neurons, SHOWN)), axis=1),
        suppressed_token=rng.integers(0, vocabulary, (neurons, SHOWN)),
        suppressed_cosine=np.sort(-rng.beta(4, 20, (neurons, SHOWN)), axis=1),
        kl=effect[:, None] * rng.gamma(12, 1 / 12, (neurons, 8)),
        loss_increase=effect[:, None] * rng.normal(0.8, 0.6, (neurons, 8)),
        predictions=381, level=0.95, top_window=window,
    )  # fmt: skip
