"""Sections of pages whose number and titles follow the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from universal_neurons.render.escaping import Html


@dataclass(frozen=True, slots=True)
class PageSection:
    """One section of a page: its heading, a sentence about it, and its body."""

    heading: str
    says: str
    body: Html
