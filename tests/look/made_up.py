"""A report of made-up numbers, to be looked at where none was built: ``python -m tests.look.made_up FOLDER``.

Its models, claims and neurons are those of the report's own tests, so that its pages can be judged without evidence.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.render.fakes import CHECKOUT, FakeStudy, fake_records, write_log
from tests.render.neurons import local_text
from universal_neurons.render import build_report


def main(folder: Path) -> Path:
    """Build the report into ``folder`` and return its first page."""
    with tempfile.TemporaryDirectory() as scratch:
        evidence = write_log(Path(scratch) / "evidence", fake_records())
        return build_report(
            FakeStudy(), root=CHECKOUT, text=local_text(), output=folder, verdicts=evidence, engine="pandoc"
        )


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
