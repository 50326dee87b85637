"""The result of matching two models: its figure, its page and its files."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from universal_neurons.artifacts.codec import PayloadError, decode, encode, json_bytes
from universal_neurons.errors import UserError
from universal_neurons.files import replace_file, shown
from universal_neurons.matching.directions import MatchedDirection, MatchedModel, MatchedPair, kept_partners, resampling
from universal_neurons.matching.settings import MatchSettings, SettingWrong
from universal_neurons.measures.influence import read_influence, stored_influence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = 1
MANIFEST = "match.json"
_DIRECTIONS = ("forward", "backward")


class ResultUnreadable(UserError):
    """A folder that holds no result of a match, or a damaged one."""


class MatchResult(MatchedPair):
    """Two models neuron by neuron, with a figure, a page and files.

    In a notebook it shows itself.  Tables: ``forward.table`` and ``backward.table``.
    """

    def plot(self) -> Figure:
        """A figure: correlations beside the rotation baseline, and the layers of partners, for each direction."""
        from universal_neurons.matching.figure import figure

        return figure(self)

    def to_html(self, path: str | Path) -> Path:
        """Write one page that works from a file, with every neuron searchable; returns its path."""
        from universal_neurons.matching.page import page

        target = Path(path)
        replace_file(target, page(self).encode())
        return target

    def widget(self, *, height: int = 600) -> Any:
        """The page as a widget of a notebook, ``height`` pixels high.

        Its ``search`` is what the page searches for, such as ``L3``, and ``found`` how many neurons that finds.  Raises
        ExtraMissing without anywidget.
        """
        from universal_neurons.matching.page import explorer

        return explorer(self, height=height)

    def _repr_html_(self) -> str:
        from universal_neurons.matching.page import summary

        return summary(self)

    def save(self, folder: str | Path) -> Path:
        """Write the result into a folder, for :meth:`load`; returns the folder.

        Tables as parquet, arrays as safetensors, everything else in ``match.json``, with the digest of each file.
        """
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        digests: dict[str, str] = {}
        for name, direction in zip(_DIRECTIONS, (self.forward, self.backward), strict=True):
            for part, value in _parts(direction):
                suffix, content = encode(value)
                digests[f"{name}-{part}.{suffix}"] = hashlib.sha256(content).hexdigest()
                replace_file(target / f"{name}-{part}.{suffix}", content)
        replace_file(target / MANIFEST, json_bytes({**self._document(), "files": cast("Any", digests)}))
        return target

    def _document(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "models": [{**asdict(model), "widths": list(model.widths)} for model in self.models],
            "settings": asdict(self.settings),
            "spans": self.spans,
            "rows": self.rows,
            "blocks": self.blocks,
        }

    @classmethod
    def load(cls, folder: str | Path) -> MatchResult:
        """Read a result that :meth:`save` wrote; raises :class:`ResultUnreadable`."""
        return _loaded(Path(folder))


def _parts(direction: MatchedDirection) -> list[tuple[str, Any]]:
    kept = direction.kept
    partners = {"partner": kept.partner, "half_a": kept.half_a, "half_b": kept.half_b, "null": kept.null}
    numbers = {name: flat.astype(np.int32) for name, flat in partners.items() if flat is not None}
    blocks = {"influence": stored_influence(direction.influence), "draws": direction.draws}
    return [("table", direction.frame), ("blocks", blocks), ("partners", numbers)]


def _loaded(folder: Path) -> MatchResult:
    where = shown(folder)
    try:
        document = cast("dict[str, Any]", decode("json", (folder / MANIFEST).read_bytes()))
        if document["format"] != FORMAT:
            raise ResultUnreadable(f"{where}: expected format {FORMAT}, got {document['format']!r}")
        models = [MatchedModel(**{**one, "widths": tuple(one["widths"])}) for one in document["models"]]
        settings = MatchSettings(**document["settings"])
        parts = {name: _part(folder, name, str(digest)) for name, digest in document["files"].items()}
        pairs = zip(_DIRECTIONS, (models, models[::-1]), strict=True)
        forward, backward = (_direction(parts, name, model, partner, settings) for name, (model, partner) in pairs)
        return MatchResult(
            forward, backward, settings, int(document["spans"]), int(document["rows"]), int(document["blocks"])
        )
    except OSError as error:
        raise ResultUnreadable(f"{where}: expected the result of a match ({error.strerror})") from None
    except (PayloadError, SettingWrong, KeyError, TypeError, ValueError) as error:
        raise ResultUnreadable(f"{where}: damaged ({type(error).__name__}: {error})") from None


def _part(folder: Path, name: str, digest: str) -> Any:
    content = (folder / Path(name).name).read_bytes()
    got = hashlib.sha256(content).hexdigest()
    if got != digest:
        raise ResultUnreadable(f"{shown(folder / name)}: damaged: sha256 {digest[:12]} expected, got {got[:12]}")
    return decode(cast("Any", name.rpartition(".")[2]), content)


def _direction(
    parts: dict[str, Any], name: str, model: MatchedModel, partner: MatchedModel, settings: MatchSettings
) -> MatchedDirection:
    arrays, partners = parts[f"{name}-blocks.safetensors"], parts[f"{name}-partners.safetensors"]
    frame, influence = parts[f"{name}-table.parquet"], read_influence(arrays["influence"])
    halves = np.stack([partners["half_a"], partners["half_b"]])
    return MatchedDirection(
        model=model,
        partner=partner,
        frame=frame,
        influence=influence,
        draws=arrays["draws"],
        resampling=resampling(settings),
        kept=kept_partners(frame, influence, partners["partner"], halves, partners.get("null")),
    )
