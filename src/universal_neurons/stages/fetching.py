"""Pinning and fetching of the models and the text that a suite takes from a hub.

Keys need the pins, results the files.  A suite whose models lie in the checkout needs neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from universal_neurons.inputs.hub_zoo import HubZoo
from universal_neurons.stages.tokens import evaluation_tokens, token_set
from universal_neurons.stages.workspace import hub_corpus

if TYPE_CHECKING:
    from collections.abc import Callable

    from universal_neurons.stages.workspace import Workspace


def pin(work: Workspace) -> None:
    """Pin the checkpoints and the text that the suite's lock does not name yet; raises ``HubError``."""
    if isinstance(work.zoo, HubZoo):
        work.zoo.pin_missing(work.suite.zoo.models, work.steps)
    if (text := hub_corpus(work)) is not None:
        text.pin_missing()


def fetch(work: Workspace, *, accept: bool, done: Callable[[str], None]) -> int:
    """Fetch everything that computing the suite needs; returns the number of files that ``done`` was told of.

    Files that are here and verify are not fetched again.  The lock is updated first; a change on the hub is refused
    unless ``accept`` is True.  After a ``HubError`` the same call resumes.
    """
    count = 0

    def told(line: str) -> None:
        nonlocal count
        count += 1
        done(line)

    text = hub_corpus(work)
    if text is not None:
        text.pin(accept=accept)
    if isinstance(work.zoo, HubZoo):
        work.zoo.fetch(work.suite.zoo.models, work.steps, done=told, accept=accept)
    if text is not None:
        for what, tokens in (("tokens", token_set(work)), ("held-out tokens", evaluation_tokens(work))):
            told(f"{what}: {text.recipe.repository}: {tokens.scored} in {len(tokens.rows)} rows")
    return count
