"""A report in which everything that has a name is called what nobody should be able to call it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import TYPE_CHECKING

import pandas as pd

from tests.render import fakes
from tests.render.neurons import VOCABULARY, local_text
from tests.render.payloads import PAYLOADS
from universal_neurons.evidence.record import ControlResult
from universal_neurons.evidence.verdict import Verdict
from universal_neurons.render import build_report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from universal_neurons.evidence.record import EvidenceRecord
    from universal_neurons.ids import CorpusRef, ModelRef
    from universal_neurons.measures.study import HasStep

# No plain word either: a family that is one becomes a heading.
TAME = ("Tame!",) * len(PAYLOADS)


def hostile(text: str, number: int) -> EvidenceRecord:
    """A case that broke, called ``text`` wherever a record has a text."""
    # A line separator ends a line of the evidence log for its reader; the other places of the report get it.
    return fakes.record(
        f"{text} {number}", statement=text, source=text, parameters={text: text}, verdict=Verdict.ERROR, reason=text,
        locator=text, promise=text, family=text, test=f"claims/{text}.py::test_{text}[{number}]",
    )  # fmt: skip


def hostile_reading(text: str, number: int) -> EvidenceRecord:
    """A reading that broke."""
    test = f"claims/x.py::test_reading_{number}"
    return replace(hostile(text, number), role="reading", test=test, ambiguity="A1", says=text)


def hostile_measured(text: str, number: int) -> EvidenceRecord:
    """A case that was measured, with a control."""
    guard = ControlResult(f"claims/x.py::test_{text}", Verdict.REFUTED, text, None)
    return replace(
        hostile(text, number), verdict=Verdict.REPRODUCED, measurement=fakes.fake_records()[0].measurement,
        controls=(guard,), item="measured", test=f"claims/x.py::test_measured_{number}",
    )  # fmt: skip


def hostile_log(texts: Sequence[str]) -> list[EvidenceRecord]:
    """Cases and readings of one claim for each of ``texts``."""
    kinds = (hostile, hostile_measured, hostile_reading)
    return [one(text, i) for i, text in enumerate(texts) for one in kinds]


def hostile_report(folder: Path, root: Path, texts: Sequence[str], patch: pytest.MonkeyPatch) -> Path:
    """The report in ``folder`` whose claims, suite, models, checkpoints, tokens and provenance are called ``texts``."""
    models = ("a", *(" ".join(texts[place::2]) + f" {place}" for place in range(2)))
    labels = [" ".join(texts[place::4])[:300] + f" {place}" for place in range(4)]
    checkpoints = tuple(replace(c, label=label) for c, label in zip(fakes.CHECKPOINTS, labels, strict=True))
    patch.setattr(fakes, "MODELS", models)
    patch.setattr(fakes, "CHECKPOINTS", checkpoints)
    everything = " ".join(texts)
    rename_what_is_not_tested(root, everything)
    zoo = fakes.fake_suite().zoo.model_copy(update={"models": models})
    suite = fakes.fake_suite(title=everything, description=everything, zoo=zoo, checkpoints=checkpoints)
    vocabulary = list(islice(cycle(texts), len(VOCABULARY)))
    return build_report(
        HostileStudy(suite, everything=everything), root=root, text=local_text(vocabulary), output=folder / "built",
        verdicts=fakes.write_log(folder / "log", hostile_log(texts)), engine="pandoc",
    ).parent  # fmt: skip


@dataclass
class HostileStudy(fakes.FakeStudy):
    """A study whose sources, corpus and provenance are called ``everything`` too."""

    everything: str = ""

    def model(self, name: str, checkpoint: HasStep) -> ModelRef:
        return replace(super().model(name, checkpoint), source=self.everything)

    def corpus(self) -> CorpusRef:
        return replace(super().corpus(), name=self.everything, mask=self.everything)

    def provenance(self) -> pd.DataFrame:
        texts = ("origin", "device", "git_commit", "created")
        versions = {self.everything: self.everything, "python": self.everything}
        found = super().provenance().assign(**dict.fromkeys(texts, self.everything))
        return found.assign(versions=pd.Series([versions] * len(found)))


def rename_what_is_not_tested(root: Path, everything: str) -> None:
    """Ambiguities, untested statements and the citation of the checkout at ``root``, called ``everything``."""
    text = json.dumps(everything, ensure_ascii=False).replace("\x7f", "\\u007F")
    texts = "".join(f"{name} = {text}\n" for name in ("statement", "source", "reason"))
    untested = f'[[untested]]\nid = "X1"\nkind = "untestable"\nsee = ["N1"]\n{texts}'
    (root / "claims" / "untested.toml").write_text(untested, encoding="utf-8")
    ambiguity = f'[[ambiguity]]\nid = "A1"\nquestion = {text}\ndefault = {text}\n'
    (root / "claims" / "ambiguities.toml").write_text(ambiguity, encoding="utf-8")
    line = json.dumps(" ".join(everything.split()), ensure_ascii=False)
    # YAML has what it calls special characters as escapes only.
    line = re.sub(r"[\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", line)
    cited = (root / "CITATION.cff").read_text(encoding="utf-8")
    for field in ("title", "license"):
        before, found, after = re.split(rf"(?m)^({field}:).*$", cited, maxsplit=1)
        cited = f"{before}{found} {line}{after}"
    (root / "CITATION.cff").write_text(cited, encoding="utf-8")
