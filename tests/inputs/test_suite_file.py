from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.inputs.suites import BLOCKS, MINI, TOKENS, with_line
from universal_neurons.inputs.corpus import MaskPolicy
from universal_neurons.inputs.suite import load_suite
from universal_neurons.inputs.suite_file import SuiteError, SuiteFile, parse_suite, share_label

if TYPE_CHECKING:
    from pathlib import Path

    from universal_neurons.inputs.suite import Suite


def test_the_shipped_suite_says_what_the_contract_says() -> None:
    suite = parse_suite(MINI.encode(), where="mini.toml")
    assert suite.zoo.models == ("a", "b", "c", "d", "e")
    assert suite.zoo.reference == "a"
    assert suite.corpus.mask is MaskPolicy.PUBLISHED_FIRST
    assert (suite.universality.threshold, suite.universality.thresholds) == (0.5, (0.4, 0.5, 0.6))
    assert suite.universality.draws >= 20
    assert suite.ablation.draws >= 20
    assert suite.checkpoints == ("25 %", "50 %", "75 %", "100 %")


@pytest.mark.parametrize(
    ("share", "label"), [(0.25, "25 %"), (1.0, "100 %"), (0.125, "12.5 %"), (1 / 3, "33.33333333 %")]
)
def test_a_share_is_spelled_in_per_cent(share: float, label: str) -> None:
    assert share_label(share) == label


def test_variants_are_spelled_by_choice_and_value(mini: Suite) -> None:
    assert mini.variants.names == (
        *(f"mask:{policy}" for policy in ("published", "special-only", "all")),
        *("padding:published", "padding:dropped"),
        *(f"tokens:{tokens}" for tokens in mini.variants.tokens),
        *("rotation:orthogonal", "rotation:whitened", "draws:1"),
    )


def refusal(root: Path, text: str) -> str:
    (root / "fixtures" / "suites" / "mini.toml").write_text(text)
    with pytest.raises(SuiteError) as raised:
        load_suite("mini", root)
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith("fixtures/suites/mini.toml: ")
    return line.removeprefix("fixtures/suites/mini.toml: ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("universality.threshold = 1.5", "universality.threshold: expected a number in (0, 1), got 1.5"),
        ("universality.threshold = 0", "universality.threshold: expected a number in (0, 1), got 0"),
        ("universality.threshold = nan", "universality.threshold: expected a number in (0, 1), got nan"),
        ('universality.threshold = "0.5"', "universality.threshold: expected a number in (0, 1), got '0.5'"),
        (
            "universality.threshold = 0.7",
            "universality.threshold: expected one of universality.thresholds [0.4, 0.5, 0.6], got 0.7",
        ),
        (
            "universality.thresholds = [0.5, 1.0]",
            "universality.thresholds: expected different numbers in (0, 1), at least one, got 1.0",
        ),
        (
            "universality.thresholds = []",
            "universality.thresholds: expected different numbers in (0, 1), at least one, got []",
        ),
        ("universality.thresholds = [0.5, 0.5]", "universality.thresholds: expected every entry once, got 0.5"),
        (
            "universality.rotation = 'random'",
            "universality.rotation: expected 'gaussian' or 'orthogonal', got 'random'",
        ),
        ("universality.draws = 1", "universality.draws: expected an integer, 2 or more, got 1"),
        ("universality.draws = 20.5", "universality.draws: expected an integer, 2 or more, got 20.5"),
        ("universality.draws = true", "universality.draws: expected an integer, 2 or more, got True"),
        ("universality.blocks = 7", "universality.blocks: expected an even integer, 2 or more, got 7"),
        ("universality.floor = 0.4", "universality.floor: expected less than the lowest threshold 0.4, got 0.4"),
        ("universality.seed = -1", "universality.seed: expected an integer, 0 or more, got -1"),
        ("zoo.models = ['a', 'b', 'a']", "zoo.models: expected every entry once, got 'a'"),
        ("zoo.models = ['a']", "zoo.models: expected at least two different names of models, got ['a']"),
        ("zoo.models = ['a', 'z']", "zoo.models: expected some of a, b, c, d, e, got 'z'"),
        ("zoo.reference = 'f'", "zoo.reference: expected one of a, b, c, d, e, got 'f'"),
        ("zoo.kind = 'cloud'", "zoo.kind: expected 'fixtures' or 'hub', got 'cloud'"),
        ("corpus.tokens = 0", "corpus.tokens: expected a positive integer, got 0"),
        ("corpus.tokens = 2024-01-01", "corpus.tokens: expected a positive integer, got '2024-01-01'"),
        (
            "corpus.tokens = 1000",
            "corpus.tokens: expected at least 12700 (universality.blocks x scored positions of a row), "
            "so that no block is empty, got 1000",
        ),
        ("corpus.row_length = 129", "corpus.row_length: expected at most 128 (the models' context), got 129"),
        (
            "corpus.mask = 'none'",
            "corpus.mask: expected one of 'published', 'published-first', 'special-only', 'all', got 'none'",
        ),
        *(
            (
                f"zoo.path = {path}",
                "zoo.path: expected a folder under fixtures ('zoo/mini') or a family of fixtures/models.toml, "
                f"got {got}",
            )
            for path, got in (("'../elsewhere'", "'../elsewhere'"), ('"zoo/\\u0000mini"', r"'zoo/\x00mini'"))
        ),
        (
            "corpus.recipe = '/tmp/pile'",
            "corpus.recipe: expected the name of a recipe in fixtures/corpora, got '/tmp/pile'",
        ),
        ("corpus.recipe = 'pile'", "corpus.recipe: expected one of english, other_python, wheels, got 'pile'"),
        (
            "variants.texts = ['other_rows', 'french']",
            "variants.texts: expected one of english, other_python, wheels, got 'french'",
        ),
        ("variants.texts = ['wheels', 'wheels']", "variants.texts: expected every entry once, got 'wheels'"),
        (
            "variants.texts = ['../wheels']",
            "variants.texts: expected names of recipes in fixtures/corpora, or 'other_rows', got '../wheels'",
        ),
        (
            "variants.masks = ['none']",
            "variants.masks: expected some of 'published', 'published-first', 'special-only', 'all', got 'none'",
        ),
        ("variants.tokens = [0]", "variants.tokens: expected different positive integers, got 0"),
        ("variants.tokens = [1000, 1000]", "variants.tokens: expected every entry once, got 1000"),
        (
            f"variants.tokens = [{TOKENS}]",
            f"variants.tokens: expected at most {TOKENS - 1} (corpus.tokens is the whole), got {TOKENS}",
        ),
        (
            "variants.padded_tokens = 0",
            "variants.padded_tokens: expected a positive integer, or 0 where nothing else is varied, got 0",
        ),
        ("variants.draws = 21", "variants.draws: expected at most 20 (universality.draws is the whole), got 21"),
        ("variants.single = [1, 30]", "variants.single: expected at most 20 (universality.draws is the whole), got 30"),
        ("ablation.tokens = 0", "ablation.tokens: expected a positive integer, got 0"),
        (
            "ablation.tokens = 127",
            f"ablation.tokens: expected more than {(BLOCKS - 1) * 127} ((ablation.blocks - 1) x predictions of a row), "
            "so that there is a row per block, got 127",
        ),
        ("ablation.blocks = 1", "ablation.blocks: expected an integer, 2 or more, got 1"),
        ("ablation.draws = 1", "ablation.draws: expected an integer, 2 or more, got 1"),
        ("ablation.dose = []", "ablation.dose: expected different numbers in (0, 1), at least one, got []"),
        ("ablation.dose = [0.5, 1.0]", "ablation.dose: expected different numbers in (0, 1), at least one, got 1.0"),
        ("ablation.dose = [0.5, 0.5]", "ablation.dose: expected every entry once, got 0.5"),
        ("ablation.orders = 0", "ablation.orders: expected a positive integer, got 0"),
        ("ablation.seed = -1", "ablation.seed: expected an integer, 0 or more, got -1"),
        ("profiles.top = 0", "profiles.top: expected a positive integer, got 0"),
        ("profiles.top = 101", "profiles.top: expected at most 100 (universality.blocks), got 101"),
        ("profiles.bins = 1", "profiles.bins: expected an integer, 2 or more, got 1"),
        ("profiles.shown = true", "profiles.shown: expected a positive integer, got True"),
        ("profiles.ablation_rows = 1", "profiles.ablation_rows: expected 0 for none, or an integer, 2 or more, got 1"),
        (
            "profiles.ablation_rows = -1",
            "profiles.ablation_rows: expected 0 for none, or an integer, 2 or more, got -1",
        ),
        (
            "profiles.ablation_rows = 101",
            f"profiles.ablation_rows: expected at most {BLOCKS} (ablation.blocks), got 101",
        ),
        ("resampling.resamples = 10", "resampling.resamples: expected an integer, 100 or more, got 10"),
        ("resampling.level = 95", "resampling.level: expected a number in (0, 1), got 95"),
        (
            "checkpoints = ['30 %']",
            "checkpoints: expected shares that the zoo has ('25 %', '50 %', '75 %', '100 %'), got '30 %'",
        ),
        (
            "checkpoints = ['last']",
            "checkpoints: expected shares or steps of the training, such as '25 %' or 'step 100', got 'last'",
        ),
        ("checkpoints = ['25 %', '25%']", "checkpoints: expected every entry once, got '25 %'"),
        (
            "checkpoints = [100]",
            "checkpoints: expected shares or steps of the training, such as ['step 100', '50 %', '100 %'], got 100",
        ),
        (
            "checkpoints = ['step 150']",
            "checkpoints: expected steps that the zoo has (near it 100, 200, 300, 400), got 'step 150'",
        ),
        (
            "checkpoints = ['25 %', 'step 100']",
            "checkpoints: expected every step once, got '25 %' and 'step 100'",
        ),
        ("untrained = 'yes'", "untrained: expected true or false, got 'yes'"),
        ("title = ''", "title: expected a line of text, got ''"),
    ],
)
def test_a_wrong_field_is_one_line_that_names_it(root: Path, line: str, said: str) -> None:
    assert refusal(root, with_line(line)) == said


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("level = 0.95", "", "resampling.level: expected a number in (0, 1), got nothing"),
        ("level = 0.95", "levle = 0.95", "resampling.levle: unknown field; expected one of resamples, level, seed ("),
        ("seed = 20251109", "sead = 1", "corpus.sead: unknown field; expected one of recipe, tokens, row_length, mask"),
        ("untrained = true", "quick = true", "quick: unknown field; expected one of title, description, zoo, corpus, "),
        ("untrained = true", "name = 'x'", "name: unknown field; expected one of title, description, zoo, corpus, "),
        ("[resampling]", "[[resampling]]", "resampling: expected a table [resampling], got [{"),
        ("[resampling]", "[resample]", "resample: unknown field; expected one of title, description, zoo, corpus, "),
        (MINI[MINI.index("[resampling]") :], "", "resampling: expected a table [resampling], got nothing"),
        ("[resampling]", "[resampling", "not TOML: "),
        ("title = ", "title ", "not TOML: "),
    ],
)  # fmt: skip
def test_a_wrong_table_is_one_line(root: Path, before: str, after: str, said: str) -> None:
    assert refusal(root, MINI.replace(before, after, 1)).startswith(said)


def test_a_file_that_is_no_text_is_one_line(root: Path) -> None:
    (root / "fixtures" / "suites" / "mini.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SuiteError, match=r"fixtures/suites/mini.toml: not TOML: "):
        load_suite("mini", root)


def test_a_long_value_is_shortened(root: Path) -> None:
    assert len(refusal(root, with_line(f"zoo.kind = '{'x' * 5000}'"))) < 120


def test_every_setting_is_described_for_whoever_gets_it_wrong() -> None:
    for table in (SuiteFile, *(field.annotation for field in SuiteFile.model_fields.values())):
        for name, field in getattr(table, "model_fields", {}).items():
            assert field.description, name
