from __future__ import annotations

import re
import subprocess
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from tests.inputs.suites import CHECKOUT, MINI, TOKENS, with_line
from universal_neurons.errors import UserError
from universal_neurons.inputs.catalogue import CATALOGUE, Catalogue
from universal_neurons.inputs.corpus import MaskPolicy
from universal_neurons.inputs.hub_corpus import HubCorpusRecipe
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.selection import Selection
from universal_neurons.inputs.suite import Checkpoint, Suite, available_suites, load_suite, project_root
from universal_neurons.inputs.suite_file import SuiteError
from universal_neurons.inputs.zoo import Zoo, ZooError

if TYPE_CHECKING:
    from pathlib import Path

# --- reading ---------------------------------------------------------------------------------------------------------


def test_steps_come_from_the_zoos_manifest(mini: Suite, root: Path) -> None:
    assert mini.checkpoints == tuple(Checkpoint(s, s / 400, f"{s // 4} %") for s in (100, 200, 300, 400))
    assert mini.untrained == Checkpoint(0, 0.0, "untrained")
    zoo = mini.open_zoo(root, warn=pytest.fail)
    assert isinstance(zoo, Zoo)
    assert zoo.folder == root / "fixtures" / "zoo" / "mini"
    assert (mini.name, str(mini)) == ("mini", "mini")


def test_a_suite_may_do_without_the_untrained_models(root: Path) -> None:
    (root / "fixtures" / "suites" / "trained.toml").write_text(with_line("untrained = false"))
    assert load_suite("trained", root).untrained is None


def test_checkpoints_are_in_the_order_of_training_however_they_are_spelled(root: Path) -> None:
    (root / "fixtures" / "suites" / "other.toml").write_text(with_line('checkpoints = ["100%", "25.0 %"]'))
    assert [checkpoint.label for checkpoint in load_suite("other", root).checkpoints] == ["25 %", "100 %"]


def test_a_suite_cannot_be_changed(mini: Suite) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        mini.universality.threshold = 0.1
    assert hash(mini) == hash(mini.model_copy())


def test_reading_a_suite_imports_no_torch(root: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from universal_neurons.inputs.suite import load_suite\n"
        f"load_suite('mini', Path({str(root)!r}))\n"
        "sys.exit(', '.join({'torch', 'transformers', 'transformer_lens'} & sys.modules.keys()) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True).stderr == ""


def test_an_unknown_suite_lists_those_that_there_are(root: Path) -> None:
    (root / "fixtures" / "suites" / "paper.toml").write_text(MINI)
    assert available_suites(root) == ("mini", "paper")
    for name in ("maxi", "../suites/mini", ""):
        with pytest.raises(SuiteError, match=rf"^unknown suite '{name}'; expected one of mini, paper$"):
            load_suite(name, root)


def test_a_checkout_without_suites_says_so(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"^unknown suite 'mini'; there is none in .*fixtures/suites$"):
        load_suite("mini", tmp_path)


def test_a_suite_without_its_zoo_says_which_file_is_missing(root: Path) -> None:
    (root / "fixtures" / "zoo" / "mini" / "manifest.json").unlink()
    with pytest.raises(ZooError, match=r"fixtures/zoo/mini/manifest.json: missing; run: git checkout -- "):
        load_suite("mini", root)


# --- published models ------------------------------------------------------------------------------------------------


def suite_of_steps(root: Path, checkpoints: list[str], **changes: str) -> Path:
    text = with_line(f"checkpoints = {checkpoints}")
    for field, change in changes.items():
        old, new = change.split("|")
        text = text.replace(f'{field} = "{old}"', f'{field} = "{new}"')
    path = root / "fixtures" / "suites" / "steps.toml"
    path.write_text(text)
    return path


def test_checkpoints_may_be_steps(root: Path) -> None:
    suite_of_steps(root, ["100 %", "step 100"])
    first, last = load_suite("steps", root).checkpoints
    assert (first, last) == (Checkpoint(100, 0.25, "step 100"), Checkpoint(400, 1.0, "100 %"))
    assert load_suite("steps", root).checkpoint("step100") == load_suite("steps", root).checkpoint(100) == first


def of_a_hub(root: Path, checkpoints: list[str]) -> None:
    (root / "fixtures" / "models.toml").write_text((CHECKOUT / "fixtures" / "models.toml").read_text())
    suite_of_steps(root, checkpoints, kind="fixtures|hub", path="zoo/mini|stanford-gpt2-small")


def test_a_suite_of_published_models_takes_its_steps_from_the_catalogue(root: Path) -> None:
    of_a_hub(root, ["step 500", "25 %", "100 %"])
    suite = load_suite("steps", root)
    assert [c.step for c in suite.checkpoints] == [500, 100_000, 400_000]
    assert (suite.layers, suite.untrained) == (12, Checkpoint(0, 0.0, "untrained"))
    zoo = suite.open_zoo(root, warn=pytest.fail)
    assert isinstance(zoo, HubZoo)
    assert (zoo.pins.suite, zoo.pins.path.name) == ("steps", "steps.lock.toml")


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        ("33.3 %", "expected shares that the zoo has (608 of them, '0.0025 %' to '100 %'), got '33.3 %'"),
        ("step 110", "expected steps that the zoo has (near it 70, 80, 90, 100), got 'step 110'"),
        ("step 0", "expected steps that the zoo has (near it 10, 20, 30, 40), got 'step 0'"),
    ],
)
def test_a_checkpoint_that_was_not_published_is_one_short_line(root: Path, checkpoint: str, said: str) -> None:
    of_a_hub(root, [checkpoint])
    with pytest.raises(SuiteError, match=re.escape(said)):
        load_suite("steps", root)


def test_untrained_models_that_nobody_published_cannot_belong_to_a_suite(root: Path) -> None:
    of_a_hub(root, ["100 %"])
    catalogue = root / "fixtures" / "models.toml"
    catalogue.write_text(catalogue.read_text().replace("[0, 90, 10]", "[10, 90, 10]"))
    with pytest.raises(SuiteError, match="untrained: expected false"):
        load_suite("steps", root)


@pytest.mark.parametrize("name", ["mini.lock.toml", "._mini.toml", ".#mini.toml", ".toml", "mini.toml~", "#mini.toml#"])
def test_locks_and_what_editors_and_archives_leave_behind_are_no_suites(root: Path, name: str) -> None:
    (root / "fixtures" / "suites" / name).write_bytes(b"\xff")
    (root / "fixtures" / "corpora" / name).write_bytes(b"\xff")
    assert available_suites(root) == ("mini",)
    assert load_suite("mini", root).name == "mini"


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("paper", ("25 %", "50 %", "75 %")),
        ("paper_published", ("25 %", "50 %", "75 %")),
        ("paper_v2", ("20 %", "40 %", "60 %", "80 %", "100 %")),
        ("gurnee_small", ("100 %",)),
        ("gurnee_medium", ("100 %",)),
        ("pythia_160m", ("100 %",)),
    ],
)
def test_the_suites_of_the_papers_look_where_the_papers_look(name: str, labels: tuple[str, ...]) -> None:
    suite = load_suite(name, CHECKOUT)
    assert tuple(checkpoint.label for checkpoint in suite.checkpoints) == labels
    assert suite.zoo.models == (("a", "b", "c", "d") if name == "pythia_160m" else ("a", "b", "c", "d", "e"))
    assert suite.corpus.tokens == (5_000_000 if "paper" in name else 100_000_000)
    assert (suite.corpus.row_length, suite.universality.threshold) == (512, 0.5)
    assert suite.profiles.ablation_rows == 0
    narrow = suite.narrowed(tokens=50_000, models="ab", references="a")
    assert narrow.narrowing == (
        "models a, b; references a; tokens 50000; blocks 96; predictions 10220; ablation blocks 20"
    )
    assert narrow.command("universal-neurons compute") == (
        f"universal-neurons compute --suite {name} --models a,b --tokens 50000 --references a"
    )


def test_the_suite_of_the_published_code_differs_from_the_papers_in_how_text_is_read() -> None:
    paper, emulation = (load_suite(name, CHECKOUT) for name in ("paper", "paper_published"))
    assert (emulation.corpus.recipe, emulation.corpus.mask) == ("pile_published", MaskPolicy.PUBLISHED)
    assert (paper.corpus.recipe, paper.corpus.mask) == ("pile", MaskPolicy.PUBLISHED_FIRST)
    same = {"name", "title", "description", "corpus"}
    assert paper.model_dump(exclude=same) == emulation.model_dump(exclude=same)
    recipes = [HubCorpusRecipe.read(CHECKOUT / "fixtures" / "corpora" / f"{suite.corpus.recipe}.toml")
               for suite in (paper, emulation)]  # fmt: skip
    assert [recipe.cutting for recipe in recipes] == ["documents", "published"]
    assert recipes[0].model_dump(exclude={"cutting", "title"}) == recipes[1].model_dump(exclude={"cutting", "title"})


def test_the_suite_of_emergence_is_spaced_by_the_logarithm_of_the_step() -> None:
    steps = [checkpoint.step for checkpoint in load_suite("emergence", CHECKOUT).checkpoints]
    assert steps == [m * 10**e for e in (2, 3, 4) for m in (1, 2, 5)] + [100_000, 200_000, 400_000]


@pytest.mark.parametrize(
    ("size", "neurons"),
    [("14m", (6, 512)), ("31m", (6, 1024)), ("70m", (6, 2048)), ("160m", (12, 3072)), ("410m", (24, 4096))],
)
def test_the_suites_of_polypythias_have_ten_seeds_and_the_shape_of_the_model_card(
    size: str, neurons: tuple[int, int]
) -> None:
    suite = load_suite(f"polypythias_{size}", CHECKOUT)
    family = Catalogue.read(CHECKOUT / CATALOGUE).families[suite.zoo.path]
    repositories = [family.models[name].repository for name in suite.zoo.models]
    assert repositories == [f"EleutherAI/pythia-{size}{seed}" for seed in ("", *(f"-seed{i}" for i in range(1, 10)))]
    assert len(family.every_step) == 154
    assert all(checkpoint.step in family.every_step for checkpoint in suite.checkpoints)
    assert (family.architecture.layers, family.architecture.mlp) == neurons
    assert suite.narrowed(tokens=60_000, models="abc", references="a").zoo.models == ("a", "b", "c")


# --- narrowing -------------------------------------------------------------------------------------------------------


def test_a_narrowed_suite_has_less_in_it_and_says_so(mini: Suite) -> None:
    narrow = mini.narrowed(models=["c", "a"], checkpoints=["100%", 200], tokens=20_000, reference="c")
    assert narrow.zoo.models == ("a", "c")
    assert narrow.zoo.reference == "c"
    assert [checkpoint.step for checkpoint in narrow.checkpoints] == [200, 400]
    assert narrow.untrained == mini.untrained
    assert narrow.corpus.tokens == 20_000
    assert (narrow.name, narrow.narrowing) == (
        "mini",
        "models a, c; reference c; checkpoints 50 %, 100 %; tokens 20000; predictions 2540; ablation blocks 20; "
        "profile rows 2",
    )
    assert str(narrow) == f"mini ({narrow.narrowing})"


def test_a_narrowed_suite_leaves_the_whole_one_as_it_was(mini: Suite, root: Path) -> None:
    mini.narrowed(models=["a", "b"], checkpoints=["100 %"])
    assert mini == load_suite("mini", root)


def test_choosing_everything_is_no_narrowing(mini: Suite) -> None:
    assert mini.narrowed() == mini
    everything = mini.narrowed(
        models="edcba", checkpoints=["100 %", "75 %", "50 %", "25 %"], tokens=TOKENS, reference="a"
    )
    assert everything == mini


def test_narrowing_twice_says_both(mini: Suite) -> None:
    narrow = mini.narrowed(models="ab").narrowed(checkpoints=["25 %"])
    assert narrow.narrowing == "models a, b; checkpoints 25 %"
    assert narrow.command("pytest claims") == "pytest claims --suite mini --models a,b --checkpoints '25 %'"


def test_fewer_references_are_named_and_fewer_models_are_not_said_twice(mini: Suite) -> None:
    assert mini.references == ("a", "b", "c", "d", "e")
    narrow = mini.narrowed(references=["b", "a"])
    assert (narrow.references, narrow.zoo.models) == (("a", "b"), mini.zoo.models)
    assert narrow.narrowing == "references a, b"
    assert (mini.narrowed(models="abc").references, mini.narrowed(models="abc").narrowing) == (
        ("a", "b", "c"),
        "models a, b, c",
    )
    assert mini.narrowed(references=mini.references) == mini


def test_fewer_tokens_than_blocks_need_are_fewer_blocks(mini: Suite) -> None:
    assert mini.universality.blocks == 100
    assert mini.narrowed(tokens=100 * 127).universality.blocks == 100
    narrow = mini.narrowed(tokens=100 * 127 - 1)
    assert narrow.universality.blocks == 98
    assert narrow.narrowing.startswith("tokens 12699; blocks 98; ")
    settings: dict[str, Any] = {field: getattr(narrow, field) for field in Suite.model_fields}
    assert Suite(**settings) == narrow


def test_fewer_tokens_are_fewer_rows_of_everything_else_down_to_what_an_interval_needs(mini: Suite) -> None:
    half = mini.narrowed(tokens=TOKENS // 2)
    assert (mini.ablation.tokens, mini.ablation.blocks, mini.profiles.ablation_rows) == (8_128, 64, 8)
    assert (half.ablation.tokens, half.ablation.blocks, half.profiles.ablation_rows) == (4_064, 32, 4)
    assert half.variants.padded_tokens == mini.variants.padded_tokens // 2
    fewest = mini.narrowed(tokens=50 * 127)
    assert (fewest.ablation.tokens, fewest.ablation.blocks, fewest.profiles.ablation_rows) == (2_540, 20, 2)
    assert fewest.variants.padded_tokens == 50 * 127
    paper = load_suite("paper", CHECKOUT)
    most = paper.narrowed(tokens=4_000_000)
    assert (paper.ablation.tokens, most.ablation.tokens, most.ablation.blocks) == (102_200, 81_760, 100)
    assert paper.narrowed(checkpoints=["25 %"]).ablation == paper.ablation


def test_a_narrowed_suite_names_its_folder_and_its_commands(mini: Suite) -> None:
    assert (mini.folder, mini.narrowed_by, mini.command("pytest claims")) == ("mini", "", "pytest claims --suite mini")
    narrow = mini.narrowed(checkpoints=["25 %", "100 %"], references="ab")
    assert narrow.folder == "mini-references-a-b-checkpoints-25-100"
    assert narrow.narrowed_by == "--checkpoints '25 %,100 %' --references a,b"
    again = Selection.parsed({"checkpoints": "25 %,100 %", "references": "a,b"})
    assert mini.narrowed(**again.narrowing) == narrow
    emergence, steps = load_suite("emergence", CHECKOUT), [100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]
    folders = [emergence.narrowed(checkpoints=[*steps, last]).folder for last in (50_000, 400_000)]
    assert [len(folder) for folder in folders] == [109, 109]
    assert folders[0] != folders[1]
    assert folders[0][:100] == folders[1][:100]


QUICK = (
    "quick: few draws and ablations, one reference and threshold, no variants, layers, families or untrained models, "
    "and of single neurons only profiles and properties"
)


@pytest.mark.parametrize(
    ("setting", "whole", "quick"),
    [
        ("untrained", Checkpoint(0, 0.0, "untrained"), None),
        ("references", ("a", "b", "c", "d", "e"), ("a",)),
        ("universality.draws", 20, 3),
        ("universality.half_draws", 5, 1),
        ("universality.thresholds", (0.4, 0.5, 0.6), (0.5,)),
        ("universality.nulls", ("rotated", "permuted"), ("rotated",)),
        ("universality.blocks", 100, 100),
        ("ablation.tokens", 64 * 127, 20 * 127),
        ("ablation.blocks", 64, 20),
        ("ablation.draws", 20, 3),
        ("ablation.dose", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (0.5,)),
        ("ablation.orders", 5, 1),
        ("ablation.by_layer", True, False),
        ("ablation.extensions", True, False),
        ("ablation.batch_rows", 16, 4),
        ("variants.padded_tokens", 50_000, 0),
        ("variants.texts", ("other_rows", "other_python", "english"), ()),
        ("variants.draws", 5, 3),
        ("profiles.top", 8, 3),
        ("profiles.ablation_rows", 8, 0),
        ("corpus.tokens", TOKENS, TOKENS),
        ("narrowing", "", QUICK),
        ("narrowed_by", "", "--quick"),
    ],
)
def test_a_quick_suite_has_less_of_everything(mini: Suite, setting: str, whole: object, quick: object) -> None:
    value = attrgetter(setting)
    assert (value(mini), value(mini.narrowed(quick=True))) == (whole, quick)


@pytest.mark.parametrize(
    ("choice", "references", "narrowing", "options"),
    [
        ({}, "a", "", ""),
        ({"models": "ab", "tokens": 50_000}, "a", "; models a, b; tokens 50000", " --models a,b --tokens 50000"),
        ({"reference": "b"}, "b", "; reference b", " --reference b"),
        ({"references": "ab"}, "ab", "; references a, b", " --references a,b"),
        ({"precision": "bfloat16"}, "a", "; precision bfloat16", " --precision bfloat16"),
    ],
)
def test_a_quick_suite_is_narrowed_as_any_other_and_says_both(
    mini: Suite, choice: dict[str, Any], references: str, narrowing: str, options: str
) -> None:
    quick = mini.narrowed(quick=True, **choice)
    assert quick.references == tuple(references)
    assert quick.narrowing == f"{QUICK}{narrowing}"
    assert quick.command("pytest claims") == f"pytest claims --suite mini --quick{options}"
    assert quick.folder.startswith("mini-quick-few-draws-and-ablations-")
    assert quick == quick.narrowed(quick=True) == mini.narrowed(quick=True).narrowed(**choice)
    assert quick.variants.names == ()
    settings: dict[str, Any] = {field: getattr(quick, field) for field in Suite.model_fields}
    assert Suite(**settings) == quick


def test_a_suite_that_looks_at_its_reference_alone_goes_on_with_another_one(mini: Suite) -> None:
    assert mini.narrowed(references="a").narrowed(reference="b").references == ("b",)


def test_a_suite_of_fewer_tokens_has_only_the_variants_of_still_fewer(mini: Suite) -> None:
    fewest, *others = sorted(mini.variants.tokens)
    assert others
    assert mini.narrowed(tokens=others[0]).variants.tokens == (fewest,)


def test_the_settings_of_a_narrowed_suite_still_fit_together(mini: Suite) -> None:
    narrow = mini.narrowed(models="ab", checkpoints=["25 %"], tokens=12_700)
    settings: dict[str, Any] = {field: getattr(narrow, field) for field in Suite.model_fields}
    assert Suite(**settings) == narrow


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"models": ["a", "f"]}, "zoo.models: expected one of a, b, c, d, e, got 'f'"),
        ({"models": ["a", "a"]}, "zoo.models: expected at least two different models, got ['a', 'a']"),
        ({"models": []}, "zoo.models: expected at least two different models, got []"),
        ({"models": ["b", "c"]}, "zoo.reference: expected one of b, c, got 'a'"),
        ({"reference": "f"}, "zoo.reference: expected one of a, b, c, d, e, got 'f'"),
        ({"checkpoints": ["30 %"]}, "checkpoints: expected one of '25 %', '50 %', '75 %', '100 %', got '30 %'"),
        ({"checkpoints": [150]}, "checkpoints: expected one of '25 %', '50 %', '75 %', '100 %', got 150"),
        ({"checkpoints": []}, "checkpoints: expected at least one of '25 %', '50 %', '75 %', '100 %', got []"),
        (
            {"checkpoints": ["untrained"]},
            "checkpoints: expected at least one of '25 %', '50 %', '75 %', '100 %', got ['untrained']",
        ),
        ({"tokens": 0}, f"corpus.tokens: expected an integer from {50 * 127} to {TOKENS}, got 0"),
        ({"tokens": TOKENS + 1}, f"corpus.tokens: expected an integer from {50 * 127} to {TOKENS}, got {TOKENS + 1}"),
        ({"references": ["f", "a"]}, "references: expected some of a, b, c, d, e, got 'f'"),
        ({"references": ["b"]}, "references: expected a (zoo.reference) among them, got ['b']"),
        ({"models": "abc", "references": "ae"}, "references: expected some of a, b, c, got 'e'"),
    ],
)
def test_what_a_suite_does_not_have_cannot_be_chosen(mini: Suite, choice: dict[str, Any], said: str) -> None:
    with pytest.raises(SuiteError) as raised:
        mini.narrowed(**choice)
    assert str(raised.value) == f"suite mini: {said}"


@pytest.mark.parametrize("wanted", ["75 %", "75%", 300, "300"])
def test_a_checkpoint_is_found_by_label_and_by_step(mini: Suite, wanted: str | int) -> None:
    assert mini.checkpoint(wanted).step == 300


@pytest.mark.parametrize("wanted", ["untrained", 0, "0"])
def test_the_untrained_checkpoint_is_found_by_label_and_by_step(mini: Suite, wanted: str | int) -> None:
    assert mini.checkpoint(wanted) == mini.untrained


# --- the checkout ----------------------------------------------------------------------------------------------------


def test_the_variable_names_the_checkout(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIVERSAL_NEURONS_ROOT", str(root))
    monkeypatch.chdir(root.parent)
    assert project_root() == root.resolve()


def test_a_variable_that_names_no_checkout_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIVERSAL_NEURONS_ROOT", str(tmp_path))
    with pytest.raises(UserError, match=r"^UNIVERSAL_NEURONS_ROOT: expected a folder with fixtures/suites, got "):
        project_root()


def test_the_checkout_is_looked_for_upwards(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIVERSAL_NEURONS_ROOT", raising=False)
    monkeypatch.chdir(root / "fixtures" / "zoo")
    assert project_root() == root


def test_elsewhere_it_is_the_checkout_that_the_package_lies_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIVERSAL_NEURONS_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert project_root() == CHECKOUT


def test_without_any_checkout_a_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNIVERSAL_NEURONS_ROOT", raising=False)
    monkeypatch.setattr("universal_neurons.inputs.suite.__file__", str(tmp_path / "a/b/c/d/suite.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError,
        match=r"^no fixtures/suites at or above .*; change into a checkout, make a study .* or set UNIVERSAL_",
    ):
        project_root()
