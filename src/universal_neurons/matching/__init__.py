"""Any two models, neuron by neuron: ``match`` and its result.

Models are read as transformers builds them; pairs, baselines and intervals come from the kernels and measures of the
suites.  Importing this imports no torch.

Two random models that read the same letters:

>>> import torch, transformers
>>> import universal_neurons as un
>>> from tokenizers import Tokenizer, models, pre_tokenizers
>>> alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
>>> letters = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
>>> letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
>>> sizes = {"vocab_size": 257, "n_positions": 32, "n_embd": 8, "n_layer": 2, "n_head": 2}
>>> config = transformers.GPT2Config(**sizes, bos_token_id=256, eos_token_id=256)
>>> _ = torch.manual_seed(0)
>>> one, other = (transformers.GPT2LMHeadModel(config) for _ in range(2))
>>> result = un.match((one, letters), (other, letters), text="the same text for both " * 40, quick=True, context=32)
>>> result.spans
920
>>> list(result.forward.table)[:5]
['layer', 'neuron', 'partner_layer', 'partner_neuron', 'correlation']
>>> len(result.forward.table), len(result.backward.table)
(64, 64)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from universal_neurons.errors import UserError, check_extra
from universal_neurons.matching.directions import MatchedDirection, MatchedModel
from universal_neurons.matching.result import MatchResult
from universal_neurons.matching.settings import QUICK, THOROUGH, MatchSettings
from universal_neurons.matching.text import documents
from universal_neurons.progress import NoProgress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from universal_neurons.matching.models import ModelSource, OpenedModel, TokenizerSource
    from universal_neurons.matching.rosetta_result import RosettaResult
    from universal_neurons.matching.text import TextSource
    from universal_neurons.progress import Progress

COMMAND = "universal-neurons match"

__all__ = ["MatchResult", "MatchSettings", "MatchedDirection", "MatchedModel", "match", "rosetta"]


def match(
    model_a: ModelSource,
    model_b: ModelSource,
    *,
    text: TextSource,
    tokens: int | None = None,
    quick: bool = False,
    tokenizer: TokenizerSource | None = None,
    device: str | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> MatchResult:
    """Find for every neuron of each model the neurons of the other that do the same on ``text``.

    A model is a folder, a name on the hub (``owner/name`` or ``owner/name@revision``), a loaded transformers model, or
    a pair of a loaded model and its tokenizer; ``tokenizer`` is for models that bring none.  Sizes, depths,
    architectures and tokenizers may differ: with two tokenizers the models are compared at spans of text on which both
    have a boundary (:mod:`universal_neurons.matching.alignment`).

    ``text``: text, documents, or the ``Path`` of a file or folder.  ``tokens``: spans of text to score.  ``quick``: the
    settings for a first look, :data:`~universal_neurons.matching.settings.QUICK`; otherwise
    :data:`~universal_neurons.matching.settings.THOROUGH`.  ``settings``: single ones, such as ``top_k``.  ``device``:
    ``cpu`` or ``cuda``, by default a GPU where there is one; ``memory``: bytes that may be used on it.

    The excess of a neuron is its largest correlation with a neuron of the other model minus the largest with a rotated
    direction of it (Gurnee et al. 2024, equation 3).  Raises UserError, one line, for what the caller can mend.
    """
    chosen, given = _chosen(quick=quick, tokens=tokens, settings=settings), documents(text)
    found = _matched(
        (model_a, model_b), given, chosen, tokenizer=tokenizer, device=device, memory=memory, progress=progress
    )
    return found[0, 1]


def rosetta(
    *models: ModelSource,
    text: TextSource,
    tokens: int | None = None,
    quick: bool = False,
    tokenizer: TokenizerSource | None = None,
    device: str | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> RosettaResult:
    """Find the Rosetta neurons of two or more models: mutual best partners, and classes of them over all models.

    Arguments as of :func:`match`; the models read the text once, and rotated models are matched too, because mutual
    pairs exist in noise as well (:mod:`universal_neurons.measures.mutual`).  Raises UserError.
    """
    from universal_neurons.matching.rosetta_result import RosettaResult, check_rosetta

    chosen = _chosen(quick=quick, tokens=tokens, settings={"null": True, **settings})
    check_rosetta(len(models), chosen)
    given = documents(text)
    return RosettaResult(
        _matched(models, given, chosen, tokenizer=tokenizer, device=device, memory=memory, progress=progress)
    )


def _chosen(*, quick: bool, tokens: int | None, settings: dict[str, Any]) -> MatchSettings:
    given = settings if tokens is None else {**settings, "tokens": tokens}
    if unknown := sorted(given.keys() - MatchSettings.__dataclass_fields__.keys()):
        known = ", ".join(MatchSettings.__dataclass_fields__)
        raise UserError(f"settings: expected some of {known}, got {unknown[0]}")
    return replace(QUICK if quick else THOROUGH, **given)


def _opened(given: Sequence[ModelSource], tokenizer: TokenizerSource | None) -> list[OpenedModel]:
    check_extra("match")
    from universal_neurons.matching.models import opened_model

    return [opened_model(one, tokenizer=tokenizer, command=COMMAND) for one in given]


def _matched(
    given: Sequence[ModelSource],
    text: Iterable[str],
    settings: MatchSettings,
    *,
    tokenizer: TokenizerSource | None,
    device: str | None,
    memory: int | None,
    progress: Progress | None,
) -> dict[tuple[int, int], MatchResult]:
    """The results of all pairs of models, by position."""
    opened = _opened(given, tokenizer)
    from universal_neurons.matching.scoring import scored
    from universal_neurons.stages.resources import device_named

    place = device_named(device)
    return scored(opened, text, settings, device=place, memory=memory, progress=progress or NoProgress())
