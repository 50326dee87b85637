"""Addresses inside a built report."""

from __future__ import annotations

from universal_neurons.render.escaping import Html, fragment, html_text

CLAIMS = "claims"


def page_of(claim: str) -> str:
    """The page of a claim, seen from the first page: ``claims/n1.html``."""
    return f"{CLAIMS}/{fragment(claim)}.html"


def claim_link(claim: str) -> Html:
    """The id of a claim as a link to its page."""
    return Html(f'<a href="{page_of(claim)}">{html_text(claim)}</a>')


def entry_id(claim: str) -> str:
    """The id of a claim's entry in the list of claims."""
    return f"claim-{fragment(claim)}"
