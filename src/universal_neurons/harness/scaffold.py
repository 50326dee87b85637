"""Scaffold of a claim file: a claim and its negative control, with everything to be edited marked ``EDIT:``.

A scaffolded file imports the harness and the measures only, as every claim does, and passes the project's formatter.
The harness refuses to judge it as long as a mark is left (:func:`unedited_lines`).
"""

from __future__ import annotations

import ast
import re
import unicodedata
from typing import TYPE_CHECKING

from universal_neurons.evidence.claim import Claim, ClaimError
from universal_neurons.evidence.criteria import GreaterThan
from universal_neurons.evidence.untested import read_untested

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Marks in a new file everything that its author has to decide.
MARK = "EDIT:"
_SECTION = re.compile(r"[a-z][a-z0-9_]*")
_SLUG_WORDS = 4
_LONGEST_ID = 32
_LONGEST_STATEMENT = 500
# Of the formatter's 120 columns, four are the indentation and one is the comma.
_COLUMNS = 115

_TEMPLATE = '''\
"""{id}: EDIT: which paper says so, by what rule it is judged here, and why by that one.

EDIT: what else the paper could mean, each a function with @reading(of=..., ambiguity="A1", says="...").
"""

from universal_neurons.harness import Checkpoint, GreaterThan, Measurement, claim, control
from universal_neurons.measures.study import Study
from universal_neurons.measures.universality import universal_share


@claim(
    "{id}",
    {statement},
    source="EDIT: paper, section, table or figure",
    expect=GreaterThan(0.0),  # EDIT: what would reproduce the claim, decided before anything is measured
    axes={{"checkpoint": "last", "threshold": (0.5,)}},
)
def test_the_claim_holds(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return universal_share(study.universality(partner=partner, checkpoint=checkpoint), threshold)


@control(of=test_the_claim_holds)
def test_rotated_neurons_fail(study: Study, partner: str, checkpoint: Checkpoint, threshold: float) -> Measurement:
    return universal_share(study.null(partner=partner, checkpoint=checkpoint, kind="rotated"), threshold)
'''


def scaffold_claim(folder: Path, claim_id: str, statement: str) -> Path:
    """Write a new claim file with its control into ``folder``, a section of ``claims/``, and return its path.

    Raises :class:`ClaimError`, and writes nothing, for an id or a statement that no claim can have, an id that another
    file under ``claims/`` uses (in any spelling that would give the same file name) or its list of untested statements
    names, a folder that is no section of ``claims/``, or a file that exists.
    """
    _check_text(claim_id, statement)
    _check_folder(folder)
    _check_unused(folder.parent, claim_id)
    path = folder / f"test_{'_'.join([_plain(claim_id), *_slug(statement)])}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(_TEMPLATE.format(id=claim_id, statement=_argument(" ".join(statement.split()))))
    except FileExistsError as error:
        raise ClaimError(f"claim {claim_id}: {error.filename} exists already; edit or remove it") from error
    except OSError as error:
        raise ClaimError(f"claim {claim_id}: cannot write {path}: {error.strerror}") from error
    return path


def unedited_lines(file: Path) -> tuple[int, ...]:
    """The numbers of the lines of ``file`` that still have a mark; none if there is no such file."""
    if not file.is_file():
        return ()
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(number for number, line in enumerate(lines, start=1) if MARK in line)


def declared_ids(file: Path) -> Iterator[str]:
    """The ids given to ``@claim`` in ``file``, read without running it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise ClaimError(f"{file}: not valid Python ({error}); repair it first, its claims have ids too") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) == "claim":
            given = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "id")]
            yield from (value.value for value in given if isinstance(value, ast.Constant) and type(value.value) is str)


def _check_text(claim_id: str, statement: str) -> None:
    Claim(claim_id, statement, "to be edited", GreaterThan(0.0))
    if len(claim_id) > _LONGEST_ID:
        raise ClaimError(f"claim {claim_id[:_LONGEST_ID]}...: an id has at most {_LONGEST_ID} characters")
    # Line ends would end the literal; marks that reverse the direction of writing would show another text than is run.
    hidden = next((character for character in statement if not character.isprintable()), None)
    if hidden is not None:
        raise ClaimError(f"claim {claim_id}: the statement has a character that does not print, U+{ord(hidden):04X}")
    if len(statement) > _LONGEST_STATEMENT:
        raise ClaimError(f"claim {claim_id}: a statement is one sentence of at most {_LONGEST_STATEMENT} characters")


def _check_folder(folder: Path) -> None:
    # A section such as "../tests" would put the file where no run of the claims looks.
    if folder.parent.name != "claims" or not _SECTION.fullmatch(folder.name):
        raise ClaimError(f"{folder}: not a section of claims/; expected a folder such as claims/emergence")


def _check_unused(claims: Path, claim_id: str) -> None:
    listed = claims / "untested.toml"
    for entry in read_untested(listed) if listed.exists() else ():
        if _plain(entry.id) == _plain(claim_id):
            raise ClaimError(f"claim {claim_id}: {listed} says why no test judges it; remove it there first")
    for file in sorted(claims.rglob("*.py")):
        # Editors and file systems keep files of their own such as ".#test_n1.py"; pytest collects none of them.
        if any(part.startswith(".") for part in file.relative_to(claims).parts):
            continue
        for used in declared_ids(file):
            if _plain(used) == _plain(claim_id):
                where = file.relative_to(claims.parent).as_posix()
                raise ClaimError(f"claim {claim_id}: {used} is declared in {where}; an id names one claim")


def _called(call: ast.Call) -> str:
    """The last name of what is called: ``claim`` for ``claim(...)`` and for ``harness.claim(...)``."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _plain(claim_id: str) -> str:
    """The id as a file name spells it: lower case, because some file systems know no other difference."""
    return claim_id.lower().replace("-", "_")


def _slug(statement: str) -> list[str]:
    """The first words of the statement, for the file's name."""
    return [word[:20] for word in re.findall(r"[a-z0-9]+", statement.lower())[:_SLUG_WORDS]]


def _argument(text: str) -> str:
    """``text`` as an argument of the decorator: one literal, or adjacent ones on lines of their own if it is long."""
    whole = _literal(text)
    if _columns(whole) <= _COLUMNS:
        return whole
    parts = [""]
    for piece in re.findall(r" ?[^ ]{1,40}", text):
        if _columns(_literal(parts[-1] + piece)) > _COLUMNS:
            parts.append("")
        parts[-1] += piece
    return "\n    ".join(map(_literal, parts))


def _literal(text: str) -> str:
    """A string literal quoted as the formatter prefers: double quotes, unless single ones need fewer escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


def _columns(text: str) -> int:
    """The width of ``text`` where wide characters take two columns, as the formatter counts."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
