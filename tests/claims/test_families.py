"""The claims about families on studies for which the truth is known; every control on data that it must notice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from tests.claims.declared import claims_of
from tests.claims.planted import LAST, ScoredModels
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.harness.declare import arguments_of
from universal_neurons.measures import families
from universal_neurons.measures.families import ANY, ELSEWHERE, EXPLAINED_BY, LETTERS, Explanations

if TYPE_CHECKING:
    from universal_neurons.harness.declare import ClaimDeclaration

ROOT = Path(__file__).parents[2]
CLAIMS = claims_of("families")
LAYERS, WIDTH, DIRECTIONS = 8, 300, 50
LAYER, NEURON = np.repeat(np.arange(LAYERS), WIDTH), np.tile(np.arange(WIDTH), LAYERS)
NEURONS = len(LAYER)
NAMES = ["G20", "G20-early", "G21", "G22", "G23", "G24", "G25", "G26", "G26-one-token"]
FAMILIES = ("unigram", "predicate", "syntax", "position", "domain", "previous")
LABELS = pd.DataFrame(
    {
        "name": [*LETTERS, *";:,.!?()[]{}", "the", "all_caps", "string", "before_8", "pile", "the"],
        "family": ["unigram"] * 39 + list(FAMILIES[1:]),
        "of": "token",
        "row": 0,
        "count": 100,
    }
)
THE, FIRST_OF = 38, dict(zip(FAMILIES[1:], range(39, 44), strict=True))


@dataclass(frozen=True)
class SyntheticStudy(ScoredModels):
    """Three models in which one in twenty neurons is universal.

    ``universal`` and ``others``: the shares that are explained, by unigrams in the first half of the layers and by two
    other families above it, or, ``late``, the other way round.  ``letters``: how many letters a universal neuron
    carries; ``characters``: the same of other characters.  ``one_token``: the share of the token's part that one
    unigram has in universal neurons.
    ``previous`` and ``positions``: neurons of the first layer that these explain.  ``syntax``: neurons in each layer.
    ``domain``: the share of universal neurons about theirs.  ``foreign``: labels of other rows explain as much as own
    ones; ``directions``: random directions are explained as universal neurons are.  ``early``: nearly all layers are of
    the first half, or of the first quarter.
    """

    universal: float = 0.6
    others: float = 0.05
    late: bool = False
    letters: int = 22
    characters: int = 2
    carried_by_all: bool = False
    one_token: float = 0.7
    previous: int = 40
    positions: int = 12
    syntax: int = 6
    domain: float = 0.2
    foreign: bool = False
    directions: bool = False
    early: bool = False

    def flags(self, model: str) -> Any:
        return np.random.default_rng(ord(model)).random(NEURONS) < 0.05

    def layer(self) -> Any:
        return np.where(LAYER < 7, LAYER % 2, 7) if self.early else LAYER

    def scores(self, model: str) -> pd.DataFrame:
        excess = np.where(self.flags(model), 0.8, 0.1)
        return pd.DataFrame({"layer": self.layer(), "neuron": NEURON, "excess": excess})

    def table(self, stage: str, *, model: str | None = None, checkpoint: Any = LAST) -> Explanations:
        assert stage == "explanations"
        name = model or self.reference
        dice, chosen = np.random.default_rng(1000 + ord(name)), self.flags(name)
        explained = dice.random(NEURONS) < np.where(chosen, self.universal, self.others)
        early = (LAYER < LAYERS / 2) != self.late
        unigram = explained & early
        scores = {family: dice.uniform(0, 0.1, NEURONS) for family in FAMILIES}
        scores["unigram"] = np.where(unigram, 0.7, scores["unigram"])
        for family in ("predicate", "previous"):
            mine = explained & ~early & ((NEURON % 2 == 0) == (family == "predicate"))
            scores[family] = np.where(mine, 0.7, scores[family])
        scores["syntax"] = np.where((self.syntax > NEURON) & ~explained, 0.4, scores["syntax"])
        scores["domain"] = np.where(chosen & (dice.random(NEURONS) < self.domain), 0.3, scores["domain"])
        best = np.argmax([scores[family] for family in FAMILIES], axis=0)
        label = np.array([THE, *FIRST_OF.values()])[best]
        columns: dict[str, Any] = {}
        for family in FAMILIES:
            columns |= {f"{family}_label": label, f"{family}_first": scores[family], f"{family}_second": scores[family]}
            columns[f"{family}_{ELSEWHERE}"] = scores[family] if self.foreign else dice.uniform(0, 0.003, NEURONS)
        columns |= {f"{ANY}_label": label, f"{ANY}_first": np.max(list(scores.values()), axis=0)}
        columns[f"{ANY}_second"] = columns[f"{ANY}_first"]
        columns[f"{ANY}_{ELSEWHERE}"] = columns[f"{ANY}_first"] if self.foreign else dice.uniform(0, 0.003, NEURONS)
        # By chance the families win that have many labels, and here none has.
        columns[f"{ANY}_label_{ELSEWHERE}"] = label if self.foreign else dice.choice([THE, *FIRST_OF.values()], NEURONS)
        part = np.where(chosen, self.one_token, 0.2) + dice.normal(0, 0.03, NEURONS)
        shares = {
            "token": np.maximum(scores["unigram"] / part, 0.0),
            "previous": np.where((LAYER == 0) & (self.previous > NEURON), 0.8, 0.1),
            "position": np.where((LAYER == 0) & (self.positions > NEURON), 0.9, 0.0),
        }
        columns |= {f"{by}_share": shares[by] for by in EXPLAINED_BY}
        columns |= {f"{by}_share_{ELSEWHERE}": shares[by] * self.foreign for by in EXPLAINED_BY}
        frame = pd.DataFrame({"layer": self.layer(), "neuron": NEURON, **columns})
        return Explanations(
            name, checkpoint.step, frame, self._directions(frame, chosen), self._carried(chosen), LABELS, FAMILIES, 0.95
        )

    def _directions(self, frame: pd.DataFrame, universal: Any) -> pd.DataFrame:
        pool = np.flatnonzero(universal) if self.directions else np.flatnonzero(~universal)
        rows = frame.iloc[np.random.default_rng(5).choice(pool, LAYERS * DIRECTIONS)].reset_index(drop=True)
        if not self.directions:
            rows = rows.assign(**{f"{ANY}_{half}": 0.1 for half in ("first", "second")})
        return rows.assign(layer=np.resize(np.unique(self.layer()), len(rows)))

    def _carried(self, universal: Any) -> pd.DataFrame:
        carriers = np.arange(NEURONS) if self.carried_by_all else np.flatnonzero(universal)
        pairs = [(label, carriers[label]) for label in range(self.letters)]
        pairs += [(26 + label, carriers[30 + label]) for label in range(self.characters)]
        if self.carried_by_all:
            pairs = [(label, neuron) for label in range(self.letters) for neuron in carriers]
        label, neuron = np.array(pairs).T
        return pd.DataFrame({"label": label, "layer": LAYER[neuron], "number": NEURON[neuron], "score": 0.6})


TRUE = SyntheticStudy()
NOTHING = SyntheticStudy(
    universal=0.03, late=True, letters=1, one_token=0.2, previous=0, positions=0, syntax=0, domain=0.0
)


def verdict(claim: ClaimDeclaration, function: Any, study: SyntheticStudy) -> Verdict:
    values = {"study": study, "reference": "a", "checkpoint": LAST, "threshold": 0.5}
    measured = function(**{name: values[name] for name in arguments_of(function)})
    return claim.claim.expect.judge(measured).verdict


def control(name: str, part: str) -> Any:
    (found,) = [one.function for one in CLAIMS[name].controls if part in one.function.__name__]
    return found


def test_the_claims_are_these_and_each_has_a_control_and_is_corrected() -> None:
    assert sorted(CLAIMS) == sorted(NAMES)
    for claim in CLAIMS.values():
        assert claim.controls
        assert (claim.claim.family, claim.claim.correction) == ("families", "holm")


@pytest.mark.parametrize("name", NAMES)
def test_what_was_planted_is_found_and_nothing_is_not(name: str) -> None:
    claim = CLAIMS[name]
    assert verdict(claim, claim.function, TRUE) is Verdict.REPRODUCED
    # Unigrams may be common and late.
    nothing = replace(NOTHING, universal=0.0, others=0.0) if name == "G20" else NOTHING
    assert verdict(claim, claim.function, nothing) is not Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("name", "study"),
    [
        ("G20-early", replace(TRUE, late=True)),
        ("G21", replace(TRUE, letters=2)),
        ("G24", replace(TRUE, syntax=0)),
        ("G25", replace(TRUE, domain=0.0)),
        ("G26", replace(TRUE, universal=0.05, others=0.5)),
        ("G26-one-token", replace(TRUE, one_token=0.1)),
    ],
)
def test_the_opposite_is_refuted_or_open(name: str, study: SyntheticStudy) -> None:
    claim = CLAIMS[name]
    wanted = Verdict.INCONCLUSIVE if name == "G24" else Verdict.REFUTED
    assert verdict(claim, claim.function, study) is wanted


def test_another_family_that_is_more_common_refutes_g20() -> None:
    claim, study = CLAIMS["G20"], replace(TRUE, universal=0.0, others=0.0, syntax=0)
    table = study.table("explanations")
    frame = table.frame.assign(any_first=0.9, any_second=0.9, any_label=FIRST_OF["predicate"])
    measured = families.lead_of_unigrams(replace(table, frame=frame))
    assert claim.claim.expect.judge(measured).verdict is Verdict.REFUTED
    assert measured.details["predicate"] == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_no_control_satisfies_its_claim(name: str) -> None:
    for one in CLAIMS[name].controls:
        assert verdict(CLAIMS[name], one.function, TRUE) is not Verdict.REPRODUCED, one.function.__name__


@pytest.mark.parametrize(
    ("name", "part", "study"),
    [
        ("G20", "so_many_unigrams", replace(TRUE, foreign=True)),
        ("G21", "other_neurons", replace(TRUE, carried_by_all=True)),
        ("G21", "other_characters", replace(TRUE, characters=12)),
        ("G22", "other_rows", replace(TRUE, foreign=True)),
        ("G22", "layers_dealt", replace(TRUE, early=True)),
        ("G20-early", "layers_dealt", replace(TRUE, early=True)),
        ("G23", "positions_dealt", replace(TRUE, foreign=True)),
        ("G23", "layers_dealt", replace(TRUE, early=True, positions=200)),
        ("G24", "other_rows", replace(TRUE, foreign=True)),
        ("G25", "other_rows", replace(TRUE, foreign=True)),
        ("G26", "random_directions", replace(TRUE, directions=True)),
        ("G26", "other_rows", replace(TRUE, foreign=True)),
        ("G26-one-token", "random_directions", replace(TRUE, directions=True)),
    ],
)
def test_a_control_notices_what_it_is_there_for(name: str, part: str, study: SyntheticStudy) -> None:
    assert verdict(CLAIMS[name], control(name, part), study) is Verdict.REPRODUCED


@pytest.mark.parametrize(("name", "measure"), [("G26", "share_difference"), ("G26-one-token", "rate_difference")])
def test_dealt_labels_notice_an_interval_that_is_too_narrow(
    name: str, measure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = getattr(families, measure)

    def certain(models: Any) -> Any:
        found = honest(models)
        return replace(found, low=found.value, high=found.value)

    monkeypatch.setattr(families, measure, certain)
    assert verdict(CLAIMS[name], control(name, "dealt"), TRUE) is Verdict.REPRODUCED


def test_members_of_a_family_are_counted_as_the_claims_count_them() -> None:
    table = SyntheticStudy().table("explanations")
    quarters = families.quarters_beyond_tokens(table).details
    assert families.is_member(table, "syntax").sum() == sum(quarters.values())
    flags = SyntheticStudy().flags("a")
    about = families.about_their_domain([table], [flags])
    assert families.is_member(table, "domain")[flags].mean() == about.value
    letters = families.letter_flags(table, flags)
    assert letters.sum() == families.carried_letters(table, flags).value
    with pytest.raises(ValueError, match="expected one of unigram"):
        families.is_member(table, "topics")
