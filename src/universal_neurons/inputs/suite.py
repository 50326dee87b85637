"""A suite: the models, checkpoints and tokens that are looked at, with thresholds, draws and resamples.

:func:`load_suite` reads its file and looks its checkpoints up in the zoo; :meth:`Suite.narrowed` leaves something out
of it.  Nothing here imports torch.  A suite of published models has a lock beside it (``<suite>.lock.toml``), which is
no suite.
"""

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, assert_never, get_args

from universal_neurons.errors import UserError
from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.inputs.lock import LOCK_SUFFIX
from universal_neurons.inputs.pinning import Pins
from universal_neurons.inputs.suite_file import (
    OTHER_ROWS,
    STEP,
    Precision,
    SuiteError,
    SuiteFile,
    SuiteSettings,
    ZooSpec,
    parse_suite,
    share_label,
    step_label,
)
from universal_neurons.inputs.validation import shown_value
from universal_neurons.inputs.zoo import UNTRAINED, Zoo
from universal_neurons.progress import Warn, discard

ROOT_VARIABLE = "UNIVERSAL_NEURONS_ROOT"
SUITES = Path("fixtures") / "suites"
CORPORA = Path("fixtures") / "corpora"

# Both have the same surface: names, shares, references, tokenizer, models.
AnyZoo = Zoo | HubZoo

# An interval over fewer blocks of tokens is not worth its name; a narrowed suite does with fewer than it was given.
FEWEST_BLOCKS = 50
# The same of ablations, whose effects differ by more than their noise: about as many as mini has.
FEWEST_ABLATION_BLOCKS = 20
# The settings that are options of the command line, in the order of the options.
_OPTIONS = ("models", "checkpoints", "tokens", "reference", "references", "precision")
_MOST_SHARES_SHOWN = 12
_LONGEST_FOLDER = 100


@dataclass(frozen=True, slots=True, order=True)
class Checkpoint:
    """A training step that a suite looks at; ``share`` of the training is done, ``label`` is how it is shown."""

    step: int
    share: float
    label: str

    def __str__(self) -> str:
        return self.label


# The narrowing of a suite for a first look.
QUICK = (
    "quick: few draws and ablations, one reference and threshold, no variants, layers, families or untrained models, "
    "and of single neurons only profiles and properties"
)


class Suite(SuiteSettings):
    """A suite whose checkpoints are steps of its zoo; ``narrowing`` says what was left out of it, if anything.

    ``checkpoints`` are the trained ones in the order of training; ``untrained`` is step 0, which was published or which
    the zoo regenerates from its seeds, or None where the suite does without.  ``layers`` is the depth of its models.
    ``references`` are the models whose neurons look for partners: all of them, unless the suite was narrowed.
    ``options`` are the options of the command line that narrow it so, by name, with "" for one that takes no value.
    ``quick``: it was reduced for a first look.
    """

    name: str
    checkpoints: tuple[Checkpoint, ...]
    untrained: Checkpoint | None
    layers: int
    references: tuple[str, ...]
    narrowing: str = ""
    quick: bool = False
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.name} ({self.narrowing})" if self.narrowing else self.name

    @property
    def folder(self) -> str:
        """A name for a folder about this suite; another for every narrowing, so that none replaces the whole."""
        if not self.narrowing:
            return self.name
        words = "-".join([self.name, *re.findall(r"[A-Za-z0-9]+", self.narrowing)])
        if len(words) <= _LONGEST_FOLDER:
            return words
        return f"{words[:_LONGEST_FOLDER]}-{hashlib.sha256(self.narrowing.encode()).hexdigest()[:8]}"

    def command(self, program: str) -> str:
        """``program`` (``universal-neurons compute``) for this suite, narrowed as it is, as a shell takes it."""
        return " ".join([program, shlex.join(["--suite", self.name]), *([self.narrowed_by] if self.options else [])])

    @property
    def narrowed_by(self) -> str:
        """The options that narrow the suite, as a shell takes them; empty for a whole one."""
        return shlex.join(word for name, value in self.options for word in (f"--{name}", value) if word)

    def open_zoo(self, root: Path, *, warn: Warn) -> AnyZoo:
        """The suite's models in the checkout ``root``; raises ``ZooError``."""
        return open_zoo(self.zoo, root, suite=self.name, fetch=self.command("universal-neurons fetch"), warn=warn)

    def checkpoint(self, wanted: str | int) -> Checkpoint:
        """The checkpoint with this label or step, the untrained one included; raises :class:`SuiteError`."""
        known = [*self.checkpoints, *([] if self.untrained is None else [self.untrained])]
        text = str(wanted).replace(" ", "")
        for checkpoint in known:
            if text in {checkpoint.label.replace(" ", ""), str(checkpoint.step)}:
                return checkpoint
        names = ", ".join(f"'{c.label}'" for c in self.checkpoints)
        raise SuiteError(f"suite {self.name}: checkpoints: expected one of {names}, got {shown_value(wanted)}")

    def narrowed(
        self,
        *,
        models: Iterable[str] | None = None,
        checkpoints: Iterable[str | int] | None = None,
        tokens: int | None = None,
        reference: str | None = None,
        references: Iterable[str] | None = None,
        precision: str | None = None,
        quick: bool = False,
    ) -> "Suite":
        """This suite with less in it; ``narrowing`` of the result says what was chosen.

        Order is the suite's, whatever order is asked for.  Fewer tokens are fewer blocks where
        they would not fill them, and the same share of what ablations, padded rows and profiles take, though no fewer
        rows than :data:`FEWEST_ABLATION_BLOCKS`.  What is None, or chooses everything that is there, changes nothing.
        A suite that looks at its reference only goes on with another ``reference`` that is chosen.  ``quick``
        reduces all of it to a small size first.  Raises :class:`SuiteError` for a name, number or step that is not the
        suite's.
        """
        if quick and not self.quick:
            return self._quick().narrowed(
                models=models, checkpoints=checkpoints, tokens=tokens, reference=reference, references=references,
                precision=precision,
            )  # fmt: skip
        zoo = self._narrowed_zoo(models, reference)
        kept = self.checkpoints if checkpoints is None else self._narrowed_checkpoints(checkpoints)
        corpus = self.corpus.model_copy(update={} if tokens is None else {"tokens": self._fewer(tokens)})
        changed = {"blocks": self._blocks(corpus.tokens), "precision": self._precision(precision)}
        universality = self.universality.model_copy(update=changed)
        changes = {"zoo": zoo, "checkpoints": kept, "universality": universality, "corpus": corpus}
        changes["references"] = self._narrowed_references(zoo, references)
        if corpus.tokens < self.corpus.tokens:
            changes |= self._scaled(corpus.tokens, blocks=universality.blocks)
        suite = self.model_copy(update=changes)
        differences = _differences(self, suite)
        words = [self.narrowing, *(f"{name} {text}" for name, text in differences.items())]
        options = {name: differences[name].replace(", ", ",") for name in _OPTIONS if name in differences}
        return suite.model_copy(
            update={
                "narrowing": "; ".join(filter(None, words)),
                "options": tuple({**dict(self.options), **options}.items()),
            }
        )

    def _quick(self) -> "Suite":
        """This suite at a small size: one reference and threshold, few draws, no variants.

        Ablations are judged on as many rows as have an interval, :data:`FEWEST_ABLATION_BLOCKS`; there are none by
        layer, of families, of single neurons or of untrained models.  Stages that are not ``in_first_look`` are left
        out.
        """
        universality, ablation, variants = self.universality, self.ablation, self.variants
        draws = min(universality.draws, 3)
        blocks = min(ablation.blocks, FEWEST_ABLATION_BLOCKS)
        scores = {
            "draws": draws,
            "half_draws": 1,
            "thresholds": (universality.threshold,),
            # Permuted tokens would double the products of a pass.
            "nulls": tuple(name for name in universality.nulls if name == "rotated"),
        }
        effects = {
            "tokens": min(ablation.tokens, blocks * (self.corpus.row_length - 1)),
            "blocks": blocks,
            "draws": min(ablation.draws, 3),
            "dose": (0.5,),
            "orders": 1,
            "by_layer": False,
            "extensions": False,
            # 16 rows of GPT-2's vocabulary are 10 GB.
            "batch_rows": min(ablation.batch_rows, 4),
        }
        nothing = {"masks": (), "tokens": (), "rotations": (), "single": (), "padded_tokens": 0, "texts": ()}
        examples = {"top": min(self.profiles.top, 3), "ablation_rows": 0}
        changes = {
            "untrained": None,
            "references": (self.zoo.reference,),
            "universality": universality.model_copy(update=scores),
            "ablation": ablation.model_copy(update=effects),
            "variants": variants.model_copy(update={**nothing, "draws": min(variants.draws, draws)}),
            "profiles": self.profiles.model_copy(update=examples),
            "narrowing": "; ".join(filter(None, [self.narrowing, QUICK])),
            "options": (("quick", ""), *self.options),
            "quick": True,
        }
        return self.model_copy(update=changes)

    def _scaled(self, tokens: int, *, blocks: int) -> dict[str, Any]:
        """Ablations, variants and profiles in proportion to ``tokens`` scored tokens in ``blocks`` blocks."""
        ablation, variants, profiles = self.ablation, self.variants, self.profiles
        scored = self.corpus.row_length - 1

        def share(whole: int, *, least: int) -> int:
            return min(whole, max(least, whole * tokens // self.corpus.tokens))

        predictions = share(ablation.tokens, least=FEWEST_ABLATION_BLOCKS * scored)
        fewer = {"tokens": predictions, "blocks": min(ablation.blocks, -(-predictions // scored))}
        prefixes = tuple(prefix for prefix in variants.tokens if prefix < tokens)
        padded = share(variants.padded_tokens, least=blocks * scored)
        rows = min(share(profiles.ablation_rows, least=2), fewer["blocks"])
        return {
            "ablation": ablation.model_copy(update=fewer),
            "variants": variants.model_copy(update={"tokens": prefixes, "padded_tokens": padded}),
            "profiles": profiles.model_copy(update={"top": min(profiles.top, blocks), "ablation_rows": rows}),
        }

    def _narrowed_zoo(self, models: Iterable[str] | None, reference: str | None) -> ZooSpec:
        wanted = list(self.zoo.models if models is None else models)
        for name in wanted:
            if name not in self.zoo.models:
                self._refuse("zoo.models", f"one of {', '.join(self.zoo.models)}", name)
        kept = tuple(name for name in self.zoo.models if name in wanted)
        if len(kept) < 2:
            self._refuse("zoo.models", "at least two different models", wanted)
        reference = self.zoo.reference if reference is None else reference
        if reference not in kept:
            self._refuse("zoo.reference", f"one of {', '.join(kept)}", reference)
        return self.zoo.model_copy(update={"models": kept, "reference": reference})

    def _narrowed_references(self, zoo: ZooSpec, wanted: Iterable[str] | None) -> tuple[str, ...]:
        chosen = list(_own_references(self, zoo) if wanted is None else wanted)
        for name in chosen:
            if name not in zoo.models:
                self._refuse("references", f"some of {', '.join(zoo.models)}", name)
        if zoo.reference not in chosen:
            self._refuse("references", f"{zoo.reference} (zoo.reference) among them", chosen)
        return tuple(name for name in zoo.models if name in chosen)

    def _narrowed_checkpoints(self, wanted: Iterable[str | int]) -> tuple[Checkpoint, ...]:
        chosen = [self.checkpoint(one) for one in wanted]
        kept = tuple(checkpoint for checkpoint in self.checkpoints if checkpoint in chosen)
        if not kept:
            names = ", ".join(f"'{c.label}'" for c in self.checkpoints)
            self._refuse("checkpoints", f"at least one of {names}", [c.label for c in chosen])
        return kept

    def _precision(self, wanted: str | None) -> str:
        if wanted is not None and wanted not in get_args(Precision):
            self._refuse("universality.precision", f"one of {', '.join(get_args(Precision))}", wanted)
        return self.universality.precision if wanted is None else wanted

    def _fewer(self, tokens: int) -> int:
        least = min(self.universality.blocks, FEWEST_BLOCKS) * (self.corpus.row_length - 1)
        if not least <= tokens <= self.corpus.tokens:
            self._refuse("corpus.tokens", f"an integer from {least} to {self.corpus.tokens}", tokens)
        return tokens

    def _blocks(self, tokens: int) -> int:
        """The suite's blocks, or the largest even number of blocks of which ``tokens`` fill every one."""
        most = tokens // (self.corpus.row_length - 1)
        return min(self.universality.blocks, most - most % 2)

    def _refuse(self, field: str, expected: str, got: object) -> NoReturn:
        raise SuiteError(f"suite {self.name}: {field}: expected {expected}, got {shown_value(got)}")


def _differences(whole: Suite, part: Suite) -> dict[str, str]:
    """The settings in which ``part`` differs from ``whole``, by name, with the value in ``part``."""
    before = _settings(whole, _own_references(whole, part.zoo))
    after = _settings(part, part.references)
    return {name: text for name, (value, text) in after.items() if before[name][0] != value}


def _settings(suite: Suite, references: tuple[str, ...]) -> dict[str, tuple[object, str]]:
    """The settings that narrowing can change, by name: their values, and how they are said."""
    universality, ablation = suite.universality, suite.ablation
    numbers = {
        "tokens": suite.corpus.tokens,
        "blocks": universality.blocks,
        "predictions": ablation.tokens,
        "ablation blocks": ablation.blocks,
        "profile rows": suite.profiles.ablation_rows,
    }
    return {
        "models": (suite.zoo.models, ", ".join(suite.zoo.models)),
        "reference": (suite.zoo.reference, suite.zoo.reference),
        "references": (references, ", ".join(references)),
        "checkpoints": (suite.checkpoints, ", ".join(c.label for c in suite.checkpoints)),
        **{name: (number, str(number)) for name, number in numbers.items()},
        "threshold": ((universality.threshold, *universality.thresholds), str(universality.threshold)),
        "precision": (universality.precision, universality.precision),
    }


def _own_references(whole: Suite, zoo: ZooSpec) -> tuple[str, ...]:
    """The references of ``whole`` that remain with the models of ``zoo`` where none are chosen."""
    if whole.references == (whole.zoo.reference,):
        return (zoo.reference,)
    return tuple(name for name in whole.references if name in zoo.models)


def available_suites(root: Path) -> tuple[str, ...]:
    """The names of the suites in the checkout ``root``, in alphabetical order."""
    files = (path for path in (root / SUITES).glob("[!.]*.toml") if not path.name.endswith(LOCK_SUFFIX))
    return tuple(sorted(path.stem for path in files))


def open_zoo(spec: ZooSpec, root: Path, *, suite: str, fetch: str = "", warn: Warn = discard) -> AnyZoo:
    """The models that ``spec`` names in the checkout ``root``: a folder of fixtures, or a family as ``suite`` locks it.

    Nothing is loaded and nothing is asked of a hub; ``fetch`` is the command that fetches them, ``warn`` gets a line
    whenever a hub must be waited for.  Raises ``ZooError`` for a zoo, a family or a lock that is missing or damaged.
    """
    match spec.kind:
        case "fixtures":
            return Zoo.open(root / "fixtures" / spec.path)
        case "hub":
            return HubZoo.open(spec.path, Pins.open(root, suite, command=fetch, warn=warn))
        case _:
            assert_never(spec.kind)


def load_suite(name: str, root: Path) -> Suite:
    """The suite ``name`` of the checkout ``root``, its checkpoints looked up in the zoo.

    Raises as :func:`written_suite` does, and ``ZooError`` if its zoo is missing or damaged.  No hub is asked.
    """
    written = written_suite(name, root)
    return _resolved(name, written, open_zoo(written.zoo, root, suite=name), where=_file(name))


def written_suite(name: str, root: Path) -> SuiteFile:
    """The file of the suite ``name`` as it is written; its zoo need not be there yet.

    Raises :class:`SuiteError` (one line: file, field, expected, got) for an unknown suite or a mistake in its file.
    """
    known = available_suites(root)
    if name not in known:
        there = f"expected one of {', '.join(known)}" if known else f"there is none in {root / SUITES}"
        raise SuiteError(f"unknown suite {name!r}; {there}")
    written = parse_suite((root / _file(name)).read_bytes(), where=_file(name))
    _check_corpus(written, root, where=_file(name))
    return written


def _file(name: str) -> str:
    return (SUITES / f"{name}.toml").as_posix()


def _check_corpus(written: SuiteFile, root: Path, *, where: str) -> None:
    recipes = sorted(path.stem for path in (root / CORPORA).glob("[!.]*.toml"))
    texts = [("variants.texts", text) for text in written.variants.texts if text != OTHER_ROWS]
    for field, recipe_name in (("corpus.recipe", written.corpus.recipe), *texts):
        if recipe_name not in recipes:
            expected = f"one of {', '.join(recipes)}" if recipes else "a file in fixtures/corpora"
            raise SuiteError(f"{where}: {field}: expected {expected}, got {shown_value(recipe_name)}")


def _resolved(name: str, written: SuiteFile, zoo: AnyZoo, *, where: str) -> Suite:
    for model in written.zoo.models:
        if model not in zoo.names:
            raise SuiteError(f"{where}: zoo.models: expected some of {', '.join(zoo.names)}, got {shown_value(model)}")
    recipe = zoo.recipe()
    if written.corpus.row_length > recipe.context:
        got = written.corpus.row_length
        raise SuiteError(
            f"{where}: corpus.row_length: expected at most {recipe.context} (the models' context), got {got}"
        )
    if written.untrained and not zoo.has_untrained:
        raise SuiteError(f"{where}: untrained: expected false ({zoo.source} was not published at step 0), got true")
    settings = {field: getattr(written, field) for field in SuiteSettings.model_fields}
    return Suite(
        **settings,
        name=name,
        checkpoints=_checkpoints(written.checkpoints, zoo.shares, where=where),
        untrained=Checkpoint(UNTRAINED, 0.0, "untrained") if written.untrained else None,
        layers=recipe.layers,
        references=written.zoo.models,
    )


def _checkpoints(labels: Sequence[str], shares: Mapping[int, float], *, where: str) -> tuple[Checkpoint, ...]:
    by_share = {share_label(share): step for step, share in shares.items()}
    found: dict[int, Checkpoint] = {}
    for label in labels:
        number = STEP.fullmatch(label)
        step = int(number[1]) if number else by_share.get(label)
        if step is None or step not in shares:
            raise SuiteError(f"{where}: checkpoints: expected {_there(by_share, number)}, got {label!r}")
        if step in found:
            raise SuiteError(f"{where}: checkpoints: expected every step once, got {found[step].label!r} and {label!r}")
        found[step] = Checkpoint(step, shares[step], step_label(step) if number else label)
    return tuple(found[step] for step in sorted(found))


def _there(by_share: Mapping[str, int], number: re.Match[str] | None) -> str:
    """The shares, or the steps near the step ``number``, that the zoo has, in words."""
    if number is None:
        shares = list(by_share)
        few = len(shares) <= _MOST_SHARES_SHOWN
        there = ", ".join(map(repr, shares)) if few else f"{len(shares)} of them, {shares[0]!r} to {shares[-1]!r}"
        return f"shares that the zoo has ({there})"
    near = sorted(sorted(by_share.values(), key=lambda step: abs(step - int(number[1])))[:4])
    return f"steps that the zoo has (near it {', '.join(map(str, near))})"


def project_root() -> Path:
    """The checkout that is worked on.

    The folder named by UNIVERSAL_NEURONS_ROOT; else the nearest folder with fixtures/suites at or above the working
    directory; else the checkout that this package lies in.  Raises :class:`UserError` if there is none.
    """
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        if not (Path(named) / SUITES).is_dir():
            raise UserError(f"{ROOT_VARIABLE}: expected a folder with fixtures/suites, got {named!r}")
        return Path(named).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[3]):
        if (folder / SUITES).is_dir():
            return folder
    raise UserError(
        f"no fixtures/suites at or above {here}; change into a checkout, make a study (universal-neurons init FOLDER) "
        f"or set {ROOT_VARIABLE}"
    )
