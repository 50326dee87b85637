"""Options that several commands of the command line share.

A command with an argument ``selection`` is decorated with :func:`selecting`, which gives it the options of
``inputs.selection`` instead.
"""

from __future__ import annotations

import functools
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from universal_neurons.inputs.selection import OPTIONS, Selection, SelectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from universal_neurons.inputs.selection import SelectionOption

# More than any machine has; beyond 2**63 no library takes the number.
_MOST_BYTES = 2**60
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SELECTION = "selection"


def parsed_bytes(text: str) -> int:
    """Parse a number of bytes with its unit: ``800MiB``, ``24GiB``, or ``24G`` for short."""
    match = re.fullmatch(r"(\d{1,20}(?:\.\d{1,20})?)\s*([KMGT])(?:i?B)?", text.strip())
    size = 0 if match is None else round(float(match[1]) * _UNITS[match[2]])
    if match is None or size > _MOST_BYTES:
        got = text if len(text) <= 40 else f"{text[:40]}..."
        raise typer.BadParameter(f"expected bytes with a unit, such as 800MiB or 24GiB, at most 1048576T; got {got!r}")
    return size


def parsed_minutes(text: str) -> int:
    """Parse a time as Slurm writes it, in whole minutes: ``90``, ``4:00:00``, ``2-12``.

    >>> [parsed_minutes(text) for text in ("90", "90:30", "4:00:00", "2-12", "1-00:30:00")]
    [90, 91, 240, 3600, 1470]
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text.strip())
    if match is None:
        raise typer.BadParameter(f"expected minutes or a time such as 4:00:00 or 2-00:00:00, got {text!r}")
    days, first, second, third = (None if part is None else int(part) for part in match.groups())
    if days is None and third is None:
        hours, minutes, seconds = 0, first or 0, second or 0
    else:
        hours, minutes, seconds = first or 0, second or 0, third or 0
    return max(1, -(-(((days or 0) * 24 + hours) * 3600 + minutes * 60 + seconds) // 60))


SuiteName = Annotated[
    str, typer.Option("--suite", metavar="NAME", help="The suite: a file of fixtures/suites without .toml.")
]
StorePath = Annotated[Path | None, typer.Option("--store", help="Working store instead of .universal-neurons/store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Every = Annotated[bool, typer.Option("--all", help="One row per artifact instead of a summary.")]
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

EngineName = Annotated[
    Literal["local", "slurm"] | None,
    typer.Option("--engine", help="Compute task by task: in processes of this machine, or as jobs of a Slurm cluster."),
]
On = Annotated[
    str | None,
    typer.Option("--on", metavar="NAME", help="On a device that is not here, from published figures: h200, a100."),
]
Partition = Annotated[str | None, typer.Option("--partition", help="Slurm: the partition of the jobs.")]
Account = Annotated[str | None, typer.Option("--account", help="Slurm: the account to charge.")]
Qos = Annotated[str | None, typer.Option("--qos", help="Slurm: the quality of service.")]
Constraint = Annotated[str | None, typer.Option("--constraint", help="Slurm: features that the nodes must have.")]
GpusPerTask = Annotated[int | None, typer.Option("--gpus-per-task", min=0, help="Slurm: GPUs of a job; it uses one.")]
CpusPerTask = Annotated[int | None, typer.Option("--cpus-per-task", min=1, help="Slurm: processors of a job.")]
HostMemory = Annotated[
    int | None,
    typer.Option("--mem", parser=parsed_bytes, metavar="BYTES", help="Slurm: the machine's memory of a job (24GiB)."),
]
TimeLimit = Annotated[
    int | None,
    typer.Option(
        "--time",
        parser=parsed_minutes,
        metavar="TIME",
        help="Slurm: time limit of a job (90, 4:00:00, 2-00:00:00); default: 4 hours.  A job resumes after it.",
    ),
]
Parallelism = Annotated[
    int, typer.Option("--array-parallelism", min=1, help="Slurm: jobs of an array at the same time.")
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
