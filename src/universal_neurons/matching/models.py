"""Models to compare, from wherever they are: loaded, in a folder, or on a hub."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from universal_neurons.architectures import UnknownArchitecture, adapter_of, adapter_of_type
from universal_neurons.characters import visible
from universal_neurons.errors import UserError
from universal_neurons.files import shown
from universal_neurons.inputs.hub import Announced, FileMissing, Revision, Source, source_from_environment
from universal_neurons.inputs.weights import INDEX, WEIGHTS, WeightsUnfit, published_model, sharded, shards
from universal_neurons.inputs.zoo import CONFIG, TOKENIZER, untrained_digest
from universal_neurons.matching.alignment import TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

# A folder, OWNER/NAME[@REVISION] on a hub, a loaded model, or a loaded model and its tokenizer.
ModelSource: TypeAlias = "str | Path | nn.Module | tuple[nn.Module, Any]"
# A folder or file, OWNER/NAME[@REVISION] on a hub, or a loaded tokenizer.
TokenizerSource: TypeAlias = "str | Path | Any"


class ModelUnusable(UserError):
    """Something that was to be compared is no model with MLP neurons and a tokenizer that are known here."""


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model that is compared: its name, the transformers model, and how it reads text.

    ``digest`` is of its weights; rotations are drawn by it, so that a baseline does not depend on names and order.
    """

    name: str
    model: nn.Module
    tokenizer: TextTokenizer
    widths: tuple[int, ...]
    context: int
    digest: str


def opened_model(given: ModelSource, *, tokenizer: TokenizerSource | None, command: str = "") -> OpenedModel:
    """Open a model; ``tokenizer`` is for a model that brings none.  A loaded model is put into evaluation mode.

    Raises :class:`ModelUnusable`, and the errors of what is read: HubError, UnsafeWeights, WeightsUnfit.
    """
    if isinstance(given, str | Path):
        files = _files(str(given), command)
        model, own = _read_model(files), _read_tokenizer(files)
        name = files.where
    else:
        model, own = given if isinstance(given, tuple) else (given, None)
        name = str(getattr(getattr(model, "config", None), "_name_or_path", "") or type(model).__name__)
    text = own if own is not None else _opened_tokenizer(tokenizer, name, command)
    return _subject(name, model, text)


def _subject(name: str, model: Any, tokenizer: Any) -> OpenedModel:
    from universal_neurons.core.unwrapped import UnwrappedModel

    try:
        adapter = adapter_of(type(model).__name__)
        widths = UnwrappedModel.around(model).widths
    except UnknownArchitecture as error:
        raise ModelUnusable(f"{name}: {error}") from None
    except AttributeError as error:
        raise ModelUnusable(f"{name}: expected MLPs as {type(model).__name__} has them ({error})") from None
    if other := {str(p.dtype).removeprefix("torch.") for p in model.parameters()} - {"float32"}:
        raise ModelUnusable(f"{name}: expected weights in float32, got {', '.join(sorted(other))}; call model.float()")
    config = model.config
    beginning = next((i for i in (config.bos_token_id, config.eos_token_id) if isinstance(i, int)), None)
    vocabulary = int(getattr(config, adapter.options["vocabulary"]))
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    _check_ids(name, backend, vocabulary)
    model.eval()
    return OpenedModel(
        name=name,
        model=model,
        tokenizer=TextTokenizer(backend, beginning if beginning is not None and beginning < vocabulary else None),
        widths=widths,
        context=int(getattr(config, adapter.options["context"])),
        digest=untrained_digest(model),
    )


def _check_ids(name: str, tokenizer: Any, vocabulary: int) -> None:
    from tokenizers import Tokenizer

    if not isinstance(tokenizer, Tokenizer):
        raise ModelUnusable(f"{name}: expected a tokenizer of tokenizers or a fast one, got {type(tokenizer).__name__}")
    token, highest = max(tokenizer.get_vocab().items(), key=lambda item: item[1], default=("", 0))
    if highest >= vocabulary:
        raise ModelUnusable(
            f"{name}: expected a tokenizer with ids below {vocabulary}, got {highest} ({visible(token)!r}); name the "
            "one that the model was trained with"
        )


@dataclass(frozen=True, eq=False)
class _Files:
    """The files of a model: its name for messages, and the content of a file, None where there is none."""

    where: str
    content: Callable[[str], bytes | None]

    def required(self, name: str) -> bytes:
        found = self.content(name)
        if found is None:
            raise ModelUnusable(f"{self.where}: expected {name}, got no such file")
        return found


def _files(place: str, command: str) -> _Files:
    """The files of a folder if there is one of that name, else of a hub's repository."""
    folder = Path(place).expanduser()
    if folder.is_dir():
        return _Files(shown(folder), lambda name: _of_folder(folder, name))
    repository, _, revision = place.partition("@")
    if repository.count("/") != 1 or not all(repository.split("/")):
        raise ModelUnusable(f"{visible(place)}: expected a folder, or OWNER/NAME[@REVISION] of a hub, got neither")
    source = source_from_environment(command)
    snapshot = source.snapshot(repository, revision or "main")
    return _Files(
        f"{repository}@{revision or 'main'}",
        lambda name: _of_hub(source, snapshot.revision, snapshot.files.get(name), name),
    )


def _of_folder(folder: Path, name: str) -> bytes | None:
    # The models of a zoo share the tokenizer that lies two folders up.
    places = (folder, folder.parent.parent) if name == TOKENIZER else (folder,)
    for place in places:
        try:
            return (place / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ModelUnusable(f"{shown(place / name)}: cannot be read ({error.strerror})") from None
    return None


def _of_hub(source: Source, revision: Revision, announced: Announced | None, name: str) -> bytes | None:
    if announced is None:
        return None
    try:
        return source.content(revision, name, announced)
    except FileMissing:
        return None


def _read_model(files: _Files) -> Any:
    try:
        config = json.loads(files.required(CONFIG))
        adapter = adapter_of_type(str(config["model_type"]))
    except UnknownArchitecture as error:
        raise ModelUnusable(f"{files.where}: {CONFIG}: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelUnusable(f"{files.where}: {CONFIG}: expected a model's configuration with model_type") from None
    if "quantization_config" in config:
        raise WeightsUnfit(f"{files.where}: expected weights of full precision, got quantized ones")
    state = sharded(_weights(files), where=files.where)
    return published_model(config, state, adapter.class_name, where=files.where)


def _weights(files: _Files) -> dict[str, bytes]:
    for name in WEIGHTS:
        content = files.content(name)
        if content is not None:
            parts = shards(content, where=files.where) if name == INDEX else ()
            return {part: files.required(part) for part in parts} or {name: content}
    raise ModelUnusable(f"{files.where}: expected {' or '.join(WEIGHTS)}, got none of them")


def _read_tokenizer(files: _Files) -> Any:
    content = files.content(TOKENIZER)
    return None if content is None else _parsed(content, f"{files.where}/{TOKENIZER}")


def _parsed(content: bytes, where: str) -> Any:
    from universal_neurons.inputs.tokenization import read_tokenizer

    # The vocabulary of the model is compared by the caller, for loaded tokenizers too.
    return read_tokenizer(content, where=where, vocabulary=2**31)


def _opened_tokenizer(given: TokenizerSource | None, name: str, command: str) -> Any:
    if given is None:
        raise ModelUnusable(f"{name}: has no {TOKENIZER}; name its tokenizer (tokenizer=, --tokenizer)")
    if not isinstance(given, str | Path):
        return given
    path = Path(given).expanduser()
    if path.is_file():
        return _parsed(path.read_bytes(), shown(path))
    files = _files(str(given), command)
    return _parsed(files.required(TOKENIZER), f"{files.where}/{TOKENIZER}")
