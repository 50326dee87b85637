"""Measured costs of the engine: one JSON file per bench and kind of device under ``fixtures/benchmarks``.

A file names the bench, its device, day, command, versions and size, and has named figures with units.
``nox -s bench -- --publish`` writes them.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator, model_validator

from universal_neurons.errors import UserError
from universal_neurons.files import replace_file
from universal_neurons.inputs.validation import StrictTable, first_problem

BENCHMARKS = Path("fixtures") / "benchmarks"
FORMAT = 1
_NAME = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
_WAY = re.compile(r"(?:^|[\s'\"=(])(?:[/~]|[A-Za-z]:[\\/])")


class BenchmarkError(UserError):
    """A file of a bench is unreadable or has a wrong value; the message names file and field."""


_Text = Annotated[str, Field(min_length=1, description="a line of text without a path")]


class BenchFigure(StrictTable):
    """One measured number: ``says`` is what it is, ``unit`` what it counts (empty for a ratio)."""

    says: _Text
    value: float = Field(allow_inf_nan=False, description="a finite number")
    unit: str = Field(description="a unit, empty for a ratio")


class Benchmark(StrictTable):
    """One bench on one device.

    ``bench`` names what was measured, ``settings`` its size.  ``figures`` are in the order of the table; programs ask
    for them by key.  ``note`` is for the reader: circumstances that matter, or nothing.
    """

    format: int = Field(ge=FORMAT, le=FORMAT, description=f"{FORMAT}, the one version there is")
    bench: str = Field(description="a word such as engine")
    title: _Text
    device: _Text
    kind: str = Field(description="cpu or cuda")
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="a day such as 2026-11-21")
    command: _Text
    commit: str | None = Field(description="40 hexadecimal digits, perhaps with -dirty, or null")
    versions: Mapping[str, str] = Field(description="versions by package")
    settings: Mapping[str, int | float | str] = Field(description="the size of the bench by name")
    figures: Mapping[str, BenchFigure] = Field(min_length=1, description="measured numbers by name, at least one")
    note: str = Field(description="what a reader must know of the circumstances, or nothing")

    @field_validator("bench", "kind")
    @classmethod
    def _is_a_word(cls, text: str) -> str:
        if _NAME.fullmatch(text) is None:
            raise ValueError(f"expected a word of lower-case letters and digits, got {text!r}")
        return text

    @model_validator(mode="after")
    def _tells_nothing_of_a_machine(self) -> "Benchmark":
        said = {
            "title": self.title, "device": self.device, "command": self.command, "note": self.note,
            **{f"settings.{name}": str(value) for name, value in self.settings.items()},
            **{f"figures.{name}": figure.says for name, figure in self.figures.items()},
        }  # fmt: skip
        for where, text in said.items():
            if _WAY.search(text) is not None or not text.isprintable():
                raise ValueError(f"{where}: expected printable text without a path of one machine, got {text!r}")
        return self

    @property
    def file(self) -> str:
        """The name of its file: another device of the same kind replaces it."""
        return f"{self.bench}-{self.kind}.json"

    def size(self, name: str) -> float:
        """The setting called ``name`` as a number; raises :class:`BenchmarkError`."""
        setting = self.settings.get(name)
        if setting is None or isinstance(setting, str):
            where = (BENCHMARKS / self.file).as_posix()
            raise BenchmarkError(
                f"{where}: settings.{name}: expected a number, got {setting!r}; run: nox -s bench -- --publish"
            )
        return float(setting)

    def write(self, root: Path) -> Path:
        """Write the file in the checkout ``root``, whole or not at all, and return its path."""
        path = root / BENCHMARKS / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
        replace_file(path, f"{text}\n".encode())
        return path


def read_benchmarks(root: Path) -> tuple[Benchmark, ...]:
    """The benches of the checkout ``root`` in the order of their files; empty where none was published.

    Raises :class:`BenchmarkError` for a file that cannot be read, is not about a bench, or has another name than its
    bench and device give it.
    """
    return tuple(_read(path, root) for path in sorted((root / BENCHMARKS).glob("[!.]*.json")))


def _read(path: Path, root: Path) -> Benchmark:
    where = path.relative_to(root).as_posix()
    try:
        raw: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkError(f"{where}: not readable ({error}); run: nox -s bench -- --publish") from None
    try:
        benchmark = Benchmark.model_validate(raw)
    except ValidationError as error:
        raise BenchmarkError(f"{where}: {first_problem(error)}; run: nox -s bench -- --publish") from None
    if path.name != benchmark.file:
        raise BenchmarkError(f"{where}: expected the name {benchmark.file}, which its bench and device give")
    return benchmark
