"""The robustness claims and the readings of emergence claims on studies for which the truth is known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.claims.declared import claims_of
from tests.claims.test_emergence import CHECKPOINTS, CONSTANT, GROWING, LAYERS, SyntheticStudy, lookup
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.axes import Interval
from universal_neurons.harness.declare import axes_of
from universal_neurons.measures.controls import rescored

if TYPE_CHECKING:
    from collections.abc import Callable

    from universal_neurons.harness.declare import ClaimDeclaration
    from universal_neurons.measures.study import HasStep, NullKind
    from universal_neurons.measures.tables import UniversalityTable

CLAIMS = Path(__file__).parents[2] / "claims"
TEXTS = ("F16-identity-english", "F16-identity-python", "F16-share-english", "F16-share-python")
ROBUSTNESS = ("F2", "F2-rotation", "F4", "F7", "F7-padding", "F8", "N23")
VARIANTS = (
    *("mask:all", "padding:published", "padding:dropped", "tokens:100", "tokens:5000"),
    *("rotation:orthogonal", "rotation:whitened", "draws:1"),
)


class VariedStudy(SyntheticStudy):
    """As the emergence study; variants keep all scores but what ``shift`` adds to half of the universal neurons."""

    def __init__(self, *, shift: float = 0.0, noise: float = 0.0, shares: Any = None) -> None:
        super().__init__(GROWING if shares is None else shares)
        self.shift, self.noise = shift, noise
        self.asked: list[str] = []

    @property
    def variants(self) -> tuple[str, ...]:
        return VARIANTS

    def variant(self, name: str, *, partner: str, checkpoint: HasStep) -> UniversalityTable:
        assert name in VARIANTS
        self.asked.append(name)
        own = self.universality(partner=partner, checkpoint=checkpoint)
        excess = own.frame["excess"].to_numpy()
        moved = np.where((excess > 0.5) & (np.arange(len(excess)) % 2 == 0), excess + self.shift, excess)
        nothing = np.empty(0, dtype=np.int64)
        return dataclasses.replace(
            own,
            frame=own.frame.assign(excess=moved),
            candidates=nothing,
            influence=np.empty((len(own.influence), 0)),
            draws=np.empty((len(own.draws), 0)),
        )

    def variant_settings(self, checkpoint: HasStep) -> pd.DataFrame:
        return pd.DataFrame({"variant": VARIANTS, "tokens": 1, "draws": 3})

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        table = super().universality(partner=partner, checkpoint=checkpoint, reference=reference)
        # A baseline that matters: without it, whatever is not universal would seem to be.
        excess = table.frame["excess"].to_numpy()
        frame = table.frame.assign(correlation=np.where(excess > 0.5, excess + 0.2, 0.55))
        generator = np.random.default_rng(checkpoint.step)
        half_b = frame["excess_half_b"] + self.noise * generator.normal(size=len(frame))
        frame = frame.assign(excess_half_b=half_b)
        if reference in (None, "a"):
            return dataclasses.replace(table, frame=frame)
        # Of another model other neurons are universal.
        places = 100 * (ord(str(reference)) - ord("a"))
        names = ("excess", "excess_half_a", "excess_half_b")
        turned = {name: np.roll(frame[name].to_numpy(), places) for name in names}
        nothing: Any = {"candidates": np.empty(0, dtype=np.int64), "draws": np.empty((3, 0))}
        nothing["influence"] = np.empty((len(table.influence), 0))
        return dataclasses.replace(table, frame=frame.assign(**turned), **nothing)

    def null(
        self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
    ) -> UniversalityTable:
        table = super().null(partner=partner, checkpoint=checkpoint, kind=kind, reference=reference)
        # Untrained models are alike in whatever any two models of their shape share, above what a rotation finds.
        correlation = table.frame["excess"] + (0.7 if kind == "untrained" else 0.3)
        return dataclasses.replace(table, frame=table.frame.assign(correlation=correlation))


def verdict(claim: ClaimDeclaration, function: Callable[..., Any], study: VariedStudy) -> Verdict:
    """How the claim's criterion judges ``function`` at one item of the suite."""
    last = claim.axes.get("checkpoint") == "last"
    values = {
        "study": study,
        "partner": "b",
        "checkpoint": CHECKPOINTS[-1 if last else 0],
        "interval": Interval(CHECKPOINTS[0], CHECKPOINTS[1]),
        "threshold": 0.5,
    }
    given = {name: values[name] for name in ("study", *axes_of(function))}
    return claim.claim.expect.resolved(lookup).judge(function(**given)).verdict


def test_every_claim_of_the_folder_has_one_file_and_its_controls() -> None:
    assert sorted(claims_of("robustness")) == sorted((*ROBUSTNESS, *TEXTS))
    # Each file about texts has the claim for both of them.
    assert len(list((CLAIMS / "robustness").glob("test_*.py"))) == len(ROBUSTNESS) + len(TEXTS) // 2
    for claim in claims_of("robustness").values():
        # What a null would be without its baseline is no control of F2: the thresholds alone may keep it out.
        controls = 1 if claim.claim.id in ("F2", *TEXTS[:2]) else 2
        assert (len(claim.controls), claim.claim.family, claim.claim.correction) == (controls, "robustness", "holm")


@pytest.mark.parametrize("name", ROBUSTNESS)
def test_a_study_whose_choices_do_not_matter_reproduces_the_claim(name: str) -> None:
    claim = claims_of("robustness")[name]
    assert verdict(claim, claim.function, VariedStudy()) is Verdict.REPRODUCED


@pytest.mark.parametrize("name", ROBUSTNESS)
def test_the_controls_do_not_satisfy_the_criterion(name: str) -> None:
    claim = claims_of("robustness")[name]
    for control in claim.controls:
        assert verdict(claim, control.function, VariedStudy()) is Verdict.REFUTED, control.function.__name__


@pytest.mark.parametrize("name", ["F2-rotation", "F7", "F8"])
def test_choices_that_lose_half_of_the_universal_neurons_refute_the_claim(name: str) -> None:
    claim = claims_of("robustness")[name]
    assert verdict(claim, claim.function, VariedStudy(shift=-0.5)) is Verdict.REFUTED


def test_padding_is_compared_with_the_same_rows_without_it() -> None:
    claim = claims_of("robustness")["F7-padding"]
    # What the padded rows lose beside the suite's own is lost with the padding dropped too.
    assert verdict(claim, claim.function, VariedStudy(shift=-0.5)) is Verdict.REPRODUCED

    class LosesByPadding(VariedStudy):
        def variant(self, name: str, *, partner: str, checkpoint: HasStep) -> UniversalityTable:
            self.shift = -0.5 if name == "padding:published" else 0.0
            return super().variant(name, partner=partner, checkpoint=checkpoint)

    assert verdict(claim, claim.function, LosesByPadding()) is Verdict.REFUTED


def test_halves_that_are_mostly_noise_refute_cross_fitting() -> None:
    claim = claims_of("robustness")["F4"]
    assert verdict(claim, claim.function, VariedStudy(noise=1.0)) is Verdict.REFUTED


def test_a_null_like_the_neurons_themselves_refutes_the_claims_about_it() -> None:
    class Alike(VariedStudy):
        def null(
            self, *, partner: str, checkpoint: HasStep, kind: NullKind, reference: str | None = None
        ) -> UniversalityTable:
            return self.universality(partner=partner, checkpoint=checkpoint)

    for name in ("N23", "F2"):
        claim = claims_of("robustness")[name]
        assert verdict(claim, claim.function, Alike()) is Verdict.REFUTED


def test_the_tokens_that_are_compared_are_the_most_of_those_that_are_fewer() -> None:
    study, claim = VariedStudy(), claims_of("robustness")["F8"]
    verdict(claim, claim.function, study)
    assert set(study.asked) == {"tokens:5000"}


class ReadStudy(VariedStudy):
    """As the varied study; on some texts ``moved`` neurons further on are universal, or only ``kept`` of them."""

    def __init__(
        self,
        texts: tuple[str, ...] = (),
        *,
        moved: int = 0,
        kept: float = 1.0,
        baseline: float = 0.2,
        shares: Any = None,
    ) -> None:
        super().__init__(shares=shares)
        self.texts, self.moved, self.kept, self.baseline = texts, moved, kept, baseline

    def table(self, stage: str, *, checkpoint: HasStep, text: str) -> dict[str, UniversalityTable]:
        assert (stage, checkpoint) == ("texts", CHECKPOINTS[-1])
        tables = {partner: self.universality(partner=partner, checkpoint=checkpoint) for partner in self.partners()}
        return {partner: self.read(table) if text in self.texts else table for partner, table in tables.items()}

    def read(self, table: UniversalityTable) -> UniversalityTable:
        lost = np.random.default_rng(1).random(len(table.frame)) > self.kept
        names = ("excess", "excess_half_a", "excess_half_b")
        scores = {name: np.where(lost, 0.1, np.roll(table.frame[name], self.moved)) for name in names}
        return rescored(table, **scores)

    def universality(self, *, partner: str, checkpoint: HasStep, reference: str | None = None) -> UniversalityTable:
        table = super().universality(partner=partner, checkpoint=checkpoint, reference=reference)
        excess = table.frame["excess"]
        return table if self.baseline else dataclasses.replace(table, frame=table.frame.assign(correlation=excess))


OTHER_TEXTS = ("other_python", "english")


@pytest.mark.parametrize(
    ("study", "share", "identity"),
    [
        (ReadStudy(), Verdict.REPRODUCED, Verdict.REFUTED),
        (ReadStudy(OTHER_TEXTS, moved=5), Verdict.REPRODUCED, Verdict.REPRODUCED),
        (ReadStudy(OTHER_TEXTS, kept=0.5), Verdict.REFUTED, Verdict.REFUTED),
        (ReadStudy(OTHER_TEXTS, kept=0.5, moved=5), Verdict.REFUTED, Verdict.REPRODUCED),
    ],
    ids=["the same", "others", "fewer", "fewer and others"],
)
def test_share_and_identity_are_two_questions_about_a_text(study: ReadStudy, share: Verdict, identity: Verdict) -> None:
    claims = claims_of("robustness")
    for name in TEXTS:
        expected = identity if "identity" in name else share
        assert verdict(claims[name], claims[name].function, study) is expected, name
        for control in claims[name].controls:
            assert verdict(claims[name], control.function, study) is Verdict.REFUTED, control.function.__name__


@pytest.mark.parametrize("name", TEXTS)
def test_each_claim_is_about_its_own_text(name: str) -> None:
    claim, text = claims_of("robustness")[name], "english" if "english" in name else "other_python"
    own = verdict(claim, claim.function, ReadStudy())
    (other,) = set(OTHER_TEXTS) - {text}
    assert verdict(claim, claim.function, ReadStudy((other,), kept=0.5, moved=5)) is own
    assert verdict(claim, claim.function, ReadStudy((text,), kept=0.5, moved=5)) is not own


@pytest.mark.parametrize("name", TEXTS)
def test_the_controls_of_the_claims_about_texts_trip(name: str) -> None:
    claim = claims_of("robustness")[name]
    spoiled = ReadStudy(("other_rows",), moved=5, baseline=0.0, shares=CONSTANT)
    for control in claim.controls:
        assert verdict(claim, control.function, spoiled) is Verdict.REPRODUCED, control.function.__name__


@pytest.mark.parametrize("name", ["N1", "N2"])
def test_every_reading_of_an_ambiguous_choice_is_there(name: str) -> None:
    readings = claims_of("emergence")[name].readings
    ambiguities = sorted(reading.ambiguity for reading in readings)
    assert ambiguities == ["A1", "A1", "A1", "A2", "A8", "A8", "A9", "F2", "F7", "F7", "F7"]
    assert len({reading.says for reading in readings}) == len(readings)


@pytest.mark.parametrize("shares", [GROWING, CONSTANT])
@pytest.mark.parametrize("name", ["N1", "N2"])
def test_readings_that_change_nothing_give_the_claims_own_verdict(name: str, shares: Any) -> None:
    claim, study = claims_of("emergence")[name], VariedStudy(shares=shares)
    own = verdict(claim, claim.function, study)
    # Models that do not differ leave an interval without width, which excludes no growth at all.
    assert own is (Verdict.REFUTED if (name, shares) == ("N2", CONSTANT) else Verdict.REPRODUCED)
    for reading in claim.readings:
        assert verdict(claim, reading.function, study) is own, reading.says
    assert set(study.asked) == set(VARIANTS) - {"tokens:100"}


def test_readings_that_lose_every_neuron_do_not_reproduce_presence() -> None:
    claim, study = claims_of("emergence")["N1"], VariedStudy(shares=dict.fromkeys(GROWING, (0.0,) * LAYERS))
    assert all(verdict(claim, reading.function, study) is not Verdict.REPRODUCED for reading in claim.readings)
