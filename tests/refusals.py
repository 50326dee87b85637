"""What a refusal is to the tests: one kind of error and one line that a terminal can print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from universal_neurons.errors import UserError


def refusal(kind: type[UserError], action: Callable[[], object]) -> str:
    """The one line that ``action`` fails with; nothing of a kind derived from ``kind`` passes for it."""
    with pytest.raises(kind) as caught:
        action()
    assert type(caught.value) is kind
    assert str(caught.value).isprintable()
    return str(caught.value)
