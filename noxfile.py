"""Sessions of nox: ``nox`` verifies the claims on the shipped suites and builds the report, ``nox -l`` lists all."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import venv
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["claims", "report"]
nox.options.default_venv_backend = "none"

ROOT = Path(__file__).parent
# All sessions share one environment: torch alone is larger than everything else together.
ENVIRONMENT = Path(os.environ.get("UNIVERSAL_NEURONS_VENV") or ROOT / ".nox" / "environment").expanduser().absolute()
# Marks an environment that this file made, from the start of the installation; no folder without it is removed.
STAMP = ".installed"
LOCKS = ("pyproject.toml", "constraints.txt")
# The suites whose evidence is shipped; the report is about the last one, and compares it with the one before.
SHIPPED = ("midi", "mini")
REPORT = ROOT / "report" / "_build"
LOOK = ROOT / ".nox" / "look"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Without these, glibc returns every large temporary to the system and the next product faults it in again: 1.3 to 1.5
# times slower on a CPU.
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}


def environment(session: nox.Session) -> dict[str, str]:
    """Make or refresh the shared environment and return the variables to run in it."""
    scripts = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
    stamp, expected = ENVIRONMENT / STAMP, expected_stamp()
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != expected:
        session.log(f"installing into {ENVIRONMENT} (torch is large: a few minutes the first time)")
        remove_environment(session)
        ENVIRONMENT.mkdir(parents=True)
        stamp.write_text("unfinished", encoding="utf-8")
        # A copied interpreter cannot find the libpython that uv, mise and Homebrew ship beside theirs.
        venv.create(ENVIRONMENT, with_pip=True, symlinks=os.name != "nt")
        session.run(
            str(scripts / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--constraint", "constraints.txt", "--editable", ".[dev]", external=True,
        )  # fmt: skip
        stamp.write_text(expected, encoding="utf-8")
    path = os.pathsep.join([str(scripts), os.environ.get("PATH", "")])
    return {"PATH": path, "VIRTUAL_ENV": str(ENVIRONMENT), "PYTHONDONTWRITEBYTECODE": "1", **MALLOC}


def expected_stamp() -> str:
    """Digest of what an environment depends on: both folders, the version of Python, and the locked packages.

    Without the folders, a copied or moved checkout would run the code of the original, or none.
    """
    parts = [str(ROOT.resolve()), str(ENVIRONMENT), sys.version, *((ROOT / name).read_text("utf-8") for name in LOCKS)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def remove_environment(session: nox.Session) -> None:
    """Remove an environment that this file made, or an empty folder; refuse anything else."""
    if (ENVIRONMENT / STAMP).is_file():
        shutil.rmtree(ENVIRONMENT)
    elif ENVIRONMENT.is_dir() and not any(ENVIRONMENT.iterdir()):
        ENVIRONMENT.rmdir()
    elif ENVIRONMENT.exists():
        session.error(
            f"{ENVIRONMENT} was not made by this noxfile (it has no {STAMP}), so it is left alone; "
            "set UNIVERSAL_NEURONS_VENV to a folder that does not exist yet, or unset it"
        )


def run(session: nox.Session, *command: str) -> None:
    """Run a command of the shared environment in the project's root."""
    variables = environment(session)
    program = shutil.which(command[0], path=variables["PATH"]) or command[0]
    session.run(program, *command[1:], env=variables, external=True)


@nox.session
def claims(session: nox.Session) -> None:
    """Verify the claims from the shipped evidence; -- --claims N1,N7, -- --suite NAME, or -- --recompute first."""
    for options in [session.posargs] if session.posargs else [["--suite", suite] for suite in SHIPPED]:
        run(session, "pytest", "claims", *options)


@nox.session
def report(session: nox.Session) -> None:
    """Build the report of the last run of the claims, as pages and PDF; -- --to html or -- --to pdf for one of them."""
    run(session, "universal-neurons", "report", *(session.posargs or ["--compare", SHIPPED[0]]))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the project's own tests; -- tests/core -k moments for some of them."""
    run(session, "pytest", *(session.posargs or ("tests", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile")))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and the import rules of the architecture."""
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    run(session, "lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of sources, claims, tests and this file."""
    run(session, "mypy")


@nox.session
def spotcheck(session: nox.Session) -> None:
    """Recompute a sample of the shipped evidence from the weights and compare."""
    run(session, "universal-neurons", "store", "verify", "--recompute-sample", *session.posargs)


@nox.session
def look(session: nox.Session) -> None:
    """Test the built report in a browser: accessibility, layout, use; -- FOLDER for another report."""
    names = {"chromium": BROWSERS, "node": ("node",), "npm": ("npm",)}
    programs = {need: next(filter(None, map(shutil.which, known)), "") for need, known in names.items()}
    if lacking := [need for need, program in programs.items() if not program]:
        session.skip(f"needs {', '.join(lacking)} on PATH (Debian: apt install chromium nodejs npm); nothing tested")
    options = [argument for argument in session.posargs if argument.startswith("-")]
    pictures = LOOK / "pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    variables = {
        "LOOK_BROWSER": programs["chromium"],
        "LOOK_MODULES": str(look_modules(session)),
        "LOOK_OUTPUT": str(pictures),
        "LOOK_REPORT": str(report_folder(session)),
    }
    tests = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests" / "look").glob("*.test.mjs"))]
    session.run("node", "--test", "--test-reporter=spec", *options, *tests, env=variables, external=True)


@nox.session
def quarto(session: nox.Session) -> None:
    """Compare the report by Quarto with the one by pandoc: text, ids, rows, pages; skipped without quarto on PATH."""
    if shutil.which("quarto") is None:
        session.skip("needs quarto on PATH (quarto.org); nothing compared")
    run(session, "pytest", "tests/render/html/test_routes.py", *session.posargs)


def look_modules(session: nox.Session) -> Path:
    """Install axe-core and the browser's driver at their locked versions; return their folder."""
    locked, installed = ROOT / "tests" / "look", LOOK / "modules"
    lock, stamp = (locked / "package-lock.json").read_bytes(), installed / ".installed"
    if not stamp.is_file() or stamp.read_bytes() != lock:
        shutil.rmtree(installed, ignore_errors=True)
        installed.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(locked / name, installed / name)
        options = ("--ignore-scripts", "--no-audit", "--no-fund")
        session.run("npm", "ci", "--prefix", str(installed), *options, silent=True, external=True)
        stamp.write_bytes(lock)
    return installed


def report_folder(session: nox.Session) -> Path:
    """Folder of the report to test: the given one, the built one, or a new one with made-up numbers."""
    named = [argument for argument in session.posargs if not argument.startswith("-")]
    folder = Path(named[0]).resolve() if named else REPORT
    if not (folder / "index.html").is_file():
        if named:
            session.error(f"{folder} holds no report; run: nox -s report")
        session.log("no report was built yet, so one with made-up numbers is tested")
        folder = LOOK / "report"
        run(session, "python", "-m", "tests.look.made_up", str(folder))
    return folder


@nox.session
def cluster(session: nox.Session) -> None:
    """Compute the miniature suite as tasks of a real Slurm of one node, which this starts and ends."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    if lacking := [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name, path=path)]:
        session.skip(
            f"needs {', '.join(lacking)} (Debian: apt install slurmd slurmctld slurm-client munge); nothing tested"
        )
    run(session, "pytest", "tests/cluster/on_slurm.py", "-s", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare speed with a bare product, published code and naive ablation, and the plan with reality; -- --publish."""
    files = (f"tests/bench/bench_{what}.py" for what in ("engine", "ablation", "plan"))
    run(session, "pytest", *files, "-s", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure how often intervals contain the truth, in simulated studies; -- --publish keeps it for the report."""
    run(session, "pytest", "tests/bench/bench_coverage.py", "-s", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Make faults at random for a quarter of an hour and count them; -- --minutes 60, -- --publish for the report."""
    run(session, "python", "-m", "tests.bench.soak", *session.posargs)


@nox.session
def shape(session: nox.Session) -> None:
    """Measure the engine at the shape of GPT-2 Small on a GPU, at a smaller one on a CPU; -- --out FILE."""
    run(session, "python", "tests/bench/bench_shape.py", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """Measure all that a GPU is worth measuring for, at a reduced size where there is none; -- --out FOLDER."""
    run(session, "python", "-m", "tests.bench.gpu", *session.posargs)


@nox.session
def compute(session: nox.Session) -> None:
    """Compute what a suite still lacks; an interrupted run resumes; -- --suite NAME."""
    run(session, "universal-neurons", "compute", *session.posargs)


@nox.session
def train(session: nox.Session) -> None:
    """Train the models of mini, or of -- --suite NAME; an interrupted run resumes; -- --publish ships the weights."""
    run(session, "universal-neurons", "train", *session.posargs)


if __name__ == "__main__":
    sys.exit("run with: nox")
