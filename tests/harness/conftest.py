from __future__ import annotations

import os
import sys

# Imported here once: pytester forgets what an inner run imports.  numpy.fft cannot be loaded twice, rich takes a while.
import numpy.fft  # noqa: F401
import pytest

import universal_neurons.progress  # noqa: F401
from tests.harness.projects import Project


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    # Every inner run would otherwise import the plugins of this environment again, for seconds each.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("UNIVERSAL_NEURONS_ROOT", raising=False)
    # A shell that says how wide it is would have the lines of the inner runs broken at that width.
    monkeypatch.delenv("COLUMNS", raising=False)
    # A subprocess runs in another folder, where a relative path to our sources leads nowhere.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    return Project(pytester)
