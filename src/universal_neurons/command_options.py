"""Options that several commands of the command line share.

A command with an argument ``selection`` is decorated with :func:`selecting`, which gives it the options of
``inputs.selection`` instead.
"""

from __future__ import annotations

import functools
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from universal_neurons.inputs.selection import OPTIONS, Selection, SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from universal_neurons.inputs.selection import SelectionOption

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SELECTION = "selection"


def parsed_bytes(text: str) -> int:
    """Parse a number of bytes with its unit: ``800MiB``, ``24GiB``, or ``24G`` for short."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])(?:i?B)?", text.strip())
    if match is None:
        raise typer.BadParameter(f"expected bytes with a unit, such as 800MiB or 24GiB, got {text!r}")
    return round(float(match[1]) * _UNITS[match[2]])


SuiteName = Annotated[
    str, typer.Option("--suite", metavar="NAME", help="The suite: a file of fixtures/suites without .toml.")
]
StorePath = Annotated[Path | None, typer.Option("--store", help="Working store instead of .universal-neurons/store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Remote = Annotated[
    str | None,
    typer.Option(
        "--remote",
        metavar="PLACE",
        help="Import what is missing first: from a folder, an archive, a URL, or hf://datasets/OWNER/NAME@COMMIT.",
    ),
]
Memory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        parser=parsed_bytes,
        metavar="BYTES",
        help="Memory of the device that a pass may take (24GiB); default: what is free, less a margin.",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="NAME", help="cpu or cuda; default: a GPU where there is one.")
]


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate ``command``: the options of a selection take the place of its argument ``selection``."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def selected(**given: Any) -> None:
        texts = {option.name: given.pop(option.name) for option in OPTIONS}
        command(**given, selection=_selection(texts))

    parameters = list(_parameters(signature))
    selected.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    selected.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return selected


def _parameters(signature: inspect.Signature) -> Iterator[inspect.Parameter]:
    for parameter in signature.parameters.values():
        if parameter.name == _SELECTION:
            yield from map(_parameter, OPTIONS)
        else:
            yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)


def _parameter(option: SelectionOption) -> inspect.Parameter:
    shown = typer.Option(f"--{option.name}", metavar=option.metavar or None, help=option.help)
    value, default = (bool, False) if option.is_flag else (str | None, None)
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[value, shown]
    )


def _selection(texts: dict[str, str | bool | None]) -> Selection:
    parsed: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            parsed |= Selection.parsed({name: text}).given
        except SelectionError as error:
            raise typer.BadParameter(str(error), param_hint=f"'--{name}'") from None
    return Selection(**parsed)
