"""Pytest plugin of the claims: collect, parametrise from the suite, judge, record, and report the verdicts.

Only this module imports pytest.  The hooks delegate; a run without claims gets options and markers and nothing else.
"""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from universal_neurons.artifacts.provenance import git_commit
from universal_neurons.errors import ArtifactMissing, NotOnSuite, SuiteNotFetched, UserError
from universal_neurons.evidence.claim import ClaimError
from universal_neurons.evidence.criteria import Criterion, NotJudged
from universal_neurons.evidence.history import path_of, read_history
from universal_neurons.evidence.ledger import Ledger
from universal_neurons.evidence.record import EvidenceRecord, natural_order
from universal_neurons.evidence.registration import FILE as REGISTER
from universal_neurons.evidence.registration import Register
from universal_neurons.evidence.verdict import Judgement, Verdict
from universal_neurons.harness.axes import Combination, ValueMissing, combination_id, combinations
from universal_neurons.harness.declare import (
    AXES,
    AxisName,
    ClaimDeclaration,
    ControlDeclaration,
    Declaration,
    Measuring,
    ReadingDeclaration,
    arguments_of,
    axes_of,
    claim_of,
    declaration_of,
)
from universal_neurons.harness.evaluation import (
    Evaluation,
    broken_by,
    evaluate,
    evidence_missing,
    guarded,
    needs_controls,
)
from universal_neurons.harness.outcome import Outcome, OutcomeKind, outcome
from universal_neurons.harness.provider import DEFAULT_FACTORY, StudyProvider
from universal_neurons.harness.readme import README_SUITE
from universal_neurons.harness.recording import Subject
from universal_neurons.harness.register import registrations
from universal_neurons.harness.run import Collected, Collection, Run, RunScope
from universal_neurons.harness.terminal import UNBOUNDED, TerminalStream, print_verdicts
from universal_neurons.inputs.selection import OPTIONS, Selection

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from universal_neurons.inputs.suite import Suite

# A property of the test reports: plain JSON text, because pytest-xdist cannot send an enum.
EVIDENCE = "universal_neurons.evidence"
WORKER_OUTPUT = "universal_neurons"
# As in inputs.suite, which is imported only when a claim needs it.
ROOT_VARIABLE = "UNIVERSAL_NEURONS_ROOT"
# A claim that calls pytest.fail is broken, not refuted; the outcomes of pytest are no Exceptions.
BROKEN = (Exception, pytest.fail.Exception)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the harness."""
    group = parser.getgroup("universal-neurons", "claims about universal neurons")
    group.addoption("--suite", default="mini", metavar="NAME", help="judge the claims on this suite (default: mini)")
    group.addoption("--recompute", action="store_true", help="compute all evidence again, from the weights")
    group.addoption("--update-verdicts", action="store_true", help="accept this run's verdicts; the run itself fails")
    group.addoption("--register", metavar="REASON", help="register the rules of the claims, and judge nothing")
    group.addoption("--evidence-dir", type=Path, metavar="PATH", help="folder of the evidence log")
    group.addoption("--store", type=Path, metavar="PATH", help="working store of artifacts")
    group.addoption("--remote", metavar="PLACE", help="import what is missing from an export of others first")
    for option in OPTIONS:
        kind: dict[str, Any] = {"action": "store_true"} if option.is_flag else {"metavar": option.metavar}
        group.addoption(f"--{option.name}", dest=f"selected_{option.name}", help=option.help, **kind)
    group.addoption("--study-factory", default=DEFAULT_FACTORY, metavar="MODULE:NAME", help="what opens the study")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, so that ``-m claim`` works under ``--strict-markers``."""
    config.addinivalue_line("markers", "claim(id): a test that returns the measurement of a claim")
    config.addinivalue_line("markers", "control(id): a negative control of a claim")
    config.addinivalue_line("markers", "reading(id): a claim under another reading of what the paper leaves open")
    config.stash[HARNESS] = Harness(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the cache of measures."""
    harness_of(config).resources.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise claims, controls and readings over the axes that they take."""
    declared = declaration_of(metafunc.function)
    if declared is not None:
        harness_of(metafunc.config).parametrise(metafunc, declared)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark claims, controls and readings, so that ``-m claim`` and ``-k N1`` select them."""
    declared = declared_by(item)
    if declared is not None:
        name = claim_of(declared).claim.id
        item.add_marker(getattr(pytest.mark, declared.role)(id=name))
        item.extra_keyword_matches.add(name)
        if isinstance(declared, ReadingDeclaration):
            item.extra_keyword_matches.add(declared.ambiguity)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a user's mistake in a claim file into one line and exit status 4."""
    option = collector.config.option
    before = option.importmode
    if isinstance(collector, pytest.Module) and collector.path.is_relative_to(collector.config.rootpath / "claims"):
        # Two claim files of one name, as a copy is, would else be one module, and the second stop the run.
        option.importmode = "importlib"
    try:
        report = yield
    finally:
        option.importmode = before
    excinfo = report.call.excinfo if hasattr(report, "call") else None
    if excinfo is not None and isinstance(excinfo.value, UserError):
        harness_of(collector.config).refuse(excinfo.value)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse contradictory claims, before ``-k`` or ``-m`` can hide one of them; then select ``--claims``."""
    harness = harness_of(config)
    with harness.refusing():
        check_claims(item for item in items if declared_by(item) is not None)
        claims = harness.selection.claims
        others = [] if claims is None else not_about(claims, items)
    if others:
        config.hook.pytest_deselected(items=others)
        left_out = set(others)
        items[:] = [item for item in items if item not in left_out]


def pytest_deselected(items: Iterable[pytest.Item]) -> None:
    """Remember the claims that will run in part only."""
    for item in items:
        if (declared := declared_by(item)) is not None:
            harness_of(item.config).collection.deselected.add(claim_of(declared).claim.id)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remember the claims that will run."""
    harness = harness_of(session.config)
    harness.collected(session.items)
    if session.config.getoption("register") is not None and not harness.is_worker:
        harness.register_rules(session.items)


@pytest.fixture(scope="session")
def study(request: pytest.FixtureRequest) -> object:
    """The study of the suite that claims measure on."""
    return harness_of(request.config).open_study()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run claims, controls and readings, which return a measurement; leave every other test to pytest."""
    declared = declared_by(pyfuncitem)
    return None if declared is None else harness_of(pyfuncitem.config).judge(pyfuncitem, declared)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record claims that end before they are called."""
    report = yield
    declared = declared_by(item)
    if declared is not None and call.when == "setup" and call.excinfo is not None:
        harness_of(item.config).record_setup(item, declared, call.excinfo, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write the record that a worker of pytest-xdist sent."""
    node = getattr(report, "node", None)
    if node is not None:
        harness_of(node.config).receive(report)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the collection of a worker of pytest-xdist, or end the run for its user's mistake."""
    harness_of(node.config).worker_ended(getattr(node, "workeroutput", {}).get(WORKER_OUTPUT))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Conclude the run: write verdicts and ledger, and check that every collected claim left a record."""
    session.exitstatus = harness_of(session.config).finish(session, exitstatus)
    manager = session.config.pluginmanager
    if "hypothesis" not in sys.modules and (plugin := manager.get_plugin("hypothesispytest")) is not None:
        # Its summary would import all of hypothesis, seconds of a run of claims, to say that nothing used it.
        manager.unregister(plugin)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the verdict table."""
    harness_of(terminalreporter.config).print_summary(terminalreporter)


def declared_by(item: pytest.Item) -> Declaration | None:
    """The declaration of the item's function, or None."""
    return declaration_of(getattr(item, "function", None))


def subject_of(item: pytest.Item, declared: Declaration) -> Subject:
    """The item as its record describes it."""
    path, line, _ = item.location
    name, values = called_with(item)
    return Subject(declared, item.nodeid, name, values, locator=f"{Path(path).as_posix()}:{(line or 0) + 1}")


def called_with(item: pytest.Item) -> tuple[str, dict[str, Any]]:
    """The item's id in brackets and the values of its parameters; neither for one without parameters."""
    callspec = getattr(item, "callspec", None)
    return ("", {}) if callspec is None else (callspec.id, callspec.params)


def claim_id_of(item: pytest.Item) -> str | None:
    """The id of the claim that the item judges, controls or reads; None for any other test."""
    declared = declared_by(item)
    return None if declared is None else claim_of(declared).claim.id


def not_about(claims: Sequence[str], items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The ``items`` that belong to none of ``claims``; raises :class:`UserError` for a claim without any item."""
    known = {name for item in items if (name := claim_id_of(item)) is not None}
    unknown = [name for name in claims if name not in known]
    if unknown or not claims:
        got = ", ".join(unknown) or "none"
        raise UserError(f"--claims: expected some of {', '.join(sorted(known, key=natural_order))}, got {got}")
    return [item for item in items if claim_id_of(item) not in claims]


def check_claims(items: Iterable[pytest.Item]) -> None:
    """Raise :class:`ClaimError` for a claim without control, a name used twice, or an outcome expected by a mark."""
    tests: dict[str, str] = {}
    readings: dict[tuple[str, str], str] = {}
    for item in items:
        declared = declared_by(item)
        # The ledger says what is expected, visibly; a mark would hide a change of verdict.
        if next(item.iter_markers("xfail"), None) is not None:
            raise ClaimError(
                f"{item.nodeid}: marked xfail; what is expected of a claim stands in the ledger of verdicts"
            )
        if declared is None:
            continue
        claim, test = claim_of(declared).claim, item.nodeid.partition("[")[0]
        name = test.partition("::")[2]
        # The ledger calls a reading by its function.
        if isinstance(declared, ReadingDeclaration) and readings.setdefault((claim.id, name), test) != test:
            raise ClaimError(
                f"claim {claim.id}: reading declared twice, by {readings[claim.id, name]} and by {test}; rename one"
            )
        if not isinstance(declared, ClaimDeclaration):
            continue
        if not declared.controls:
            raise ClaimError(
                f"claim {claim.id} ({test}): has no control; add one with @control(of={item.name.partition('[')[0]})"
            )
        if tests.setdefault(claim.id, test) != test:
            raise ClaimError(
                f"claim {claim.id}: declared twice, by {tests[claim.id]} and by {test}; an id names one claim"
            )


class Harness:
    """State of the plugin in one process: the suite and the study, opened when needed, and the run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.collection = Collection()
        self.mistake: str | None = None
        self._controls: dict[tuple[object, ...], Evaluation] = {}
        self._run: Run | None = None
        self._study: object = None
        self.resources = ExitStack()

    @property
    def is_worker(self) -> bool:
        """True in a worker of pytest-xdist, which reports to a controller."""
        return hasattr(self.config, "workerinput")

    @cached_property
    def root(self) -> Path:
        """The root of the project: where fixtures and claims lie."""
        return Path(os.environ.get(ROOT_VARIABLE) or self.config.rootpath).resolve()

    @cached_property
    def provider(self) -> StudyProvider:
        """Study, suites and published numbers that the claims are judged with."""
        return StudyProvider(self.config.getoption("study_factory"), self.root)

    @cached_property
    def selection(self) -> Selection:
        """The part of the suite that the command line selects."""
        return Selection.parsed({option.name: self.config.getoption(f"selected_{option.name}") for option in OPTIONS})

    @property
    def is_narrowed(self) -> bool:
        """True if the command line leaves less than the whole suite."""
        return bool(self.selection.narrowing)

    @cached_property
    def suite(self) -> Suite:
        """The suite of this run, narrowed as the command line says."""
        if self.is_narrowed and self.config.getoption("update_verdicts"):
            raise UserError(
                "--update-verdicts: expected a whole suite, got a narrowed one, of which nothing is accepted; "
                f"leave out {', '.join(f'--{name}' for name in self.selection.narrowing)}"
            )
        return self.provider.suite(self.config.getoption("suite"), self.selection)

    @cached_property
    def ledger_path(self) -> Path:
        """The file of the accepted verdicts."""
        return self.root / "fixtures" / "verdicts" / f"{self.config.getoption('suite')}.toml"

    @cached_property
    def ledger(self) -> Ledger:
        """The accepted verdicts, as they were before this run; none of a narrowed suite, which is another question."""
        return Ledger() if self.is_narrowed else Ledger.read(self.ledger_path)

    @cached_property
    def register(self) -> Register:
        """The registered rules of all suites; none of a narrowed suite, which is another question."""
        return Register() if self.is_narrowed else Register.read(self.ledger_path.with_name(REGISTER))

    def register_rules(self, items: Iterable[pytest.Item]) -> NoReturn:
        """Write what the claims of ``items`` are on this suite into the register, and end the run."""
        with self.refusing():
            reason = self.config.getoption("register").strip()
            if not reason or self.is_narrowed:
                raise UserError("--register: expected the reason, on a whole suite; it stays beside what was measured")
            declared = {claim_of(d).claim.id: claim_of(d) for item in items if (d := declared_by(item)) is not None}
            claims = [declared[name] for name in sorted(declared, key=natural_order)]
            measured = {entry.claim for entry in read_history(path_of(self.ledger_path))}
            today, commit = datetime.now(UTC).date(), git_commit() or ""
            new = self.register.with_claims(
                registrations(claims, self.suite.name, today=today, commit=commit, reason=reason, measured=measured)
            )
            new.write(self.ledger_path.with_name(REGISTER))
        added = len(new.entries) - len(self.register.entries)
        done = f"registered on suite {self.suite.name}: {added} new or changed of {len(claims)} claims"
        pytest.exit(done, returncode=pytest.ExitCode.OK)

    @property
    def run(self) -> Run:
        """The run, begun by its first claim."""
        if self._run is None:
            suite = self.suite
            default = self.root / ".universal-neurons" / "evidence" / suite.folder
            folder = self.config.getoption("evidence_dir") or default
            readme = self.root / "README.md" if str(suite) == README_SUITE else None
            self._run = Run(
                suite=str(suite),
                folder=folder,
                ledger=self.ledger,
                ledger_path=self.ledger_path,
                readme=readme,
                collection=self.collection,
            )
        return self._run

    def open_study(self) -> object:
        """Open the study; a user's mistake ends the run, missing evidence only the claim that asked for it.

        A suite that was never fetched lacks all its evidence for one reason, so that ends the run too.
        """
        try:
            if self.is_worker and self.config.getoption("recompute"):
                raise UserError("--recompute: every worker would compute everything; run in one process, without -n")
            self.resources.enter_context(self.provider.caching())
            self._study = self.provider.open_study(
                self.suite.name,
                selection=self.selection,
                store=self.config.getoption("store"),
                recompute=self.config.getoption("recompute"),
                remote=self.config.getoption("remote"),
                claims=self._partial_claims(),
                warn=self.collection.warnings.append,
                progress=self._progress(),
            )
            return self._study
        except SuiteNotFetched as nothing:
            self.refuse(nothing)
        except ArtifactMissing:
            raise
        except UserError as mistake:
            self.refuse(mistake)

    def _partial_claims(self) -> tuple[str, ...] | None:
        """The collected claims where something is left out, so that nothing is recomputed for the others; else None."""
        items = self.collection.items.values()
        is_whole = self._scope().all_claims and not (self._scope().by_id or self.collection.deselected)
        return None if is_whole else tuple(dict.fromkeys(item.claim for item in items))

    def _progress(self) -> object:
        """A reporter that writes plain lines of progress to the terminal; a silent one in a worker."""
        from universal_neurons.progress import Reporter

        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if self.is_worker or reporter is None:
            return Reporter(io.StringIO())
        capture = self.config.pluginmanager.get_plugin("capturemanager")
        return Reporter(TerminalStream(reporter, capture.global_and_fixture_disabled if capture else nullcontext))

    def refuse(self, mistake: UserError) -> NoReturn:
        """End the run with one line and exit status 4."""
        self.mistake = str(mistake)
        pytest.exit(f"error: {mistake}", returncode=pytest.ExitCode.USAGE_ERROR)

    @contextmanager
    def refusing(self) -> Generator[None]:
        """End the run for a user's mistake in the block."""
        try:
            yield
        except UserError as mistake:
            self.refuse(mistake)

    def parametrise(self, metafunc: pytest.Metafunc, declared: Declaration) -> None:
        """Give the function every combination of its axes' values on the suite."""
        claim = claim_of(declared)
        self._check_suite_names(claim)
        axes = axes_of(metafunc.function)
        if not axes:
            return
        why, combined = f"suite {self.suite.name} has no {', '.join(axes)}", list[Combination]()
        try:
            combined = combinations(self.suite, axes, claim.axes, name=f"claim {claim.claim.id}")
        except ValueMissing as missing:
            if not self._is_known_elsewhere(axes, claim):
                raise
            why = f"not evaluated on this suite: {missing}"
        # pytest would skip an empty set too, with a value of its own that no claim knows.
        nothing = pytest.mark.skip(reason=why)
        metafunc.parametrize(
            axes,
            [tuple(value.value for value in combination) for combination in combined]
            or [pytest.param(*(None for _ in axes), marks=nothing)],
            ids=[combination_id(combination) for combination in combined] or ["none"],
        )

    def _is_known_elsewhere(self, axes: Sequence[AxisName], claim: ClaimDeclaration) -> bool:
        """True if another suite has the values that ``claim`` narrows its axes to; then the claim is no mistake."""
        for suite in self._every_suite:
            with suppress(UserError):
                combinations(suite, axes, claim.axes, name=claim.claim.id)
                return True
        return False

    @cached_property
    def _every_suite(self) -> tuple[Suite, ...]:
        """All suites that can be loaded, whole; a run of any other says why it cannot be."""
        loaded = []
        for name in self.provider.suites():
            with suppress(UserError):
                loaded.append(self.provider.suite(name))
        return tuple(loaded)

    def _check_suite_names(self, declared: ClaimDeclaration) -> None:
        """Refuse a suite that does not exist: a misspelled one would leave the general criterion in force."""
        known = self.provider.suites() if declared.claim.on else ()
        unknown = [name for name in declared.claim.on if name not in known]
        if unknown:
            raise ClaimError(f"claim {declared.claim.id}: no suite {', '.join(unknown)}; there are {', '.join(known)}")

    def collected(self, items: Iterable[pytest.Item]) -> None:
        """Remember the claims, controls and readings among ``items``."""
        for item in items:
            declared = declared_by(item)
            if declared is not None:
                self.collection.items[item.nodeid] = Collected(item.nodeid, claim_of(declared).claim.id, declared.role)

    def judge(self, item: pytest.Function, declared: Declaration) -> bool:
        """Run an item and write its record; then end the test as the ledger expects."""
        with self.refusing():
            criterion = self._criterion(item, declared)
            ledger, register = self.ledger, self.register
        try:
            own, controls = self._evaluated(item, declared, criterion)
        except pytest.skip.Exception as skipped:
            own, controls = _not_run(skipped), {}
            self._deliver(item, subject_of(item, declared).record(self.suite, criterion, own, controls, register))
            raise
        record = subject_of(item, declared).record(self.suite, criterion, own, controls, register)
        self._deliver(item, record)
        if isinstance(own.error, UserError) and not isinstance(own.error, ClaimError):
            self.refuse(own.error)
        self._end(own, outcome(record, None if self.is_narrowed else ledger))
        return True

    def _evaluated(
        self, item: pytest.Function, declared: Declaration, criterion: Criterion
    ) -> tuple[Evaluation, dict[str, Evaluation]]:
        if isinstance(declared, ControlDeclaration):
            if isinstance(criterion, NotJudged):
                return Evaluation(Judgement(Verdict.NOT_EVALUATED, criterion.text())), {}
            return self._control(item, declared, criterion), {}
        own = evaluate(declared.function, self._arguments(item, declared.function), criterion, broken=BROKEN)
        if isinstance(declared, ReadingDeclaration) or not needs_controls(criterion, own):
            return own, {}
        controls = {c.function.__name__: self._control(item, c, criterion) for c in declared.controls}
        return guarded(own, controls.items(), criterion), controls

    def _control(self, item: pytest.Function, declared: ControlDeclaration, criterion: Criterion) -> Evaluation:
        """Evaluate a control with the item's parameters, once per process for its own item and the items it guards."""
        parameters = subject_of(item, declared).parameters(self.suite)
        key = (declared.function, json.dumps(parameters, sort_keys=True), criterion)
        depends_on_more = set(arguments_of(declared.function)) - {*AXES, "study"}
        if depends_on_more or key not in self._controls:
            try:
                arguments = self._arguments(item, declared.function)
            except BROKEN as error:
                return broken_by(error)
            self._controls[key] = evaluate(declared.function, arguments, criterion, broken=BROKEN)
        return self._controls[key]

    def _arguments(self, item: pytest.Function, function: Measuring) -> dict[str, Any]:
        # A control may use fixtures that its claim does not; pytest has no public name for the item's request.
        request = item._request
        return {
            name: item.funcargs[name] if name in item.funcargs else request.getfixturevalue(name)
            for name in arguments_of(function)
        }

    def _end(self, own: Evaluation, end: Outcome) -> None:
        if own.error is not None and not isinstance(own.error, ClaimError | pytest.xfail.Exception):
            raise own.error
        match end.kind:
            case OutcomeKind.SKIPPED:
                pytest.skip(end.message)
            case OutcomeKind.XFAILED if not self.config.getoption("runxfail"):
                # Without a trace: writing one of each refuted claim takes a sixth of the session, and nobody reads it.
                raise pytest.xfail.Exception(end.message, pytrace=False)
            case OutcomeKind.FAILED | OutcomeKind.XFAILED:
                pytest.fail(end.message, pytrace=False)

    def record_setup(
        self,
        item: pytest.Item,
        declared: Declaration,
        excinfo: pytest.ExceptionInfo[BaseException],
        report: pytest.TestReport,
    ) -> None:
        """Record an item whose setup failed or skipped; missing evidence becomes a skip there too."""
        failure = excinfo.value
        if isinstance(failure, ArtifactMissing):
            evaluation = Evaluation(evidence_missing(failure), command=failure.command)
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"Skipped: {evaluation.judgement.reason}")
        elif isinstance(failure, pytest.skip.Exception):
            evaluation = _not_run(failure)
        else:
            if isinstance(failure, pytest.FixtureLookupError):
                report.longrepr = f"argument {failure.argname!r} is neither an axis ({', '.join(AXES)}) nor a fixture"
            text = report.longrepr if isinstance(report.longrepr, str) else f"{type(failure).__name__}: {failure}"
            evaluation = Evaluation(Judgement(Verdict.ERROR, f"setup failed: {' '.join(text.split())}"))
        criterion = self._criterion_beforehand(item, declared)
        self._deliver(item, subject_of(item, declared).record(self.suite, criterion, evaluation, {}, self.register))
        report.user_properties = list(item.user_properties)

    def _criterion(self, item: pytest.Item, declared: Declaration) -> Criterion:
        """The criterion of an item with its published numbers looked up.

        A number that is not printed about the item's own values, such as its checkpoint, judges nothing.
        """
        general = claim_of(declared).claim.criterion_for(self.suite.name)
        criterion = placed(general, item)
        try:
            return criterion.resolved(self.provider.published)
        except NotOnSuite as lack:
            labels = [label for one in criterion.published for _, label in one.where]
            # Without a label from the item the cell is the same on every suite: a mistake in the claim.
            if criterion == general or None in labels:
                raise
            return NotJudged(str(lack))

    def _criterion_beforehand(self, item: pytest.Item, declared: Declaration) -> Criterion:
        """The criterion of an item that was not called, with its published numbers looked up.

        An item without a value on the suite has no cell in a published table either, and is not judged.
        """
        try:
            return self._criterion(item, declared)
        except UserError:
            absent = [name for name, value in called_with(item)[1].items() if value is None]
            # The mistake in an item that has its values is reported when it, or another of its claim, is called.
            criterion = claim_of(declared).claim.criterion_for(self.suite.name)
            return NotJudged(f"this suite has no {' and no '.join(absent)} that it is about") if absent else criterion

    def _deliver(self, item: pytest.Item, record: EvidenceRecord) -> None:
        """Pass ``record`` to the process that reports: this one, or the controller through the test report."""
        if self.is_worker:
            item.user_properties.append((EVIDENCE, record.to_json()))
        else:
            with self.refusing():
                self.run.add(record)

    def receive(self, report: pytest.TestReport) -> None:
        """Log the record in a worker's report."""
        for name, value in report.user_properties:
            if name == EVIDENCE:
                with self.refusing():
                    self.run.add(EvidenceRecord.from_json(str(value)))

    def worker_ended(self, sent: str | None) -> None:
        """Add a worker's collection; its user's mistake ends the whole run."""
        if sent is None:
            return
        output = json.loads(sent)
        self.collection.merge(output["collection"])
        if output["mistake"] is not None:
            self.refuse(UserError(output["mistake"]))

    def finish(self, session: pytest.Session, status: int) -> int:
        """The exit status of the session."""
        self.collection.evidence.update(getattr(self._study, "evidence", {}))
        if self.is_worker:
            output = {"collection": self.collection.as_dict(), "mistake": self.mistake}
            self.config.workeroutput[WORKER_OUTPUT] = json.dumps(output)  # type: ignore[attr-defined]
            return status
        only_looked = any(self.config.getoption(name) for name in ("collectonly", "setuponly", "register"))
        # Nothing is concluded from a run that broke off: its other statuses stay as they are.
        ended = status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if not self.collection.items or only_looked or not ended:
            return status
        stopped = bool(session.shouldfail or session.shouldstop)
        update = self.config.getoption("update_verdicts")
        with self.refusing():
            return self.run.finish(int(status), scope=self._scope(), stopped=stopped, update=update)

    def _scope(self) -> RunScope:
        """The claims that the command line names; ``-k`` and the like show as deselected items."""
        paths = [(self.config.invocation_params.dir / argument).resolve() for argument in self.config.args]
        everything = {self.root, self.root / "claims"}
        return RunScope(
            by_id=any("::" in argument for argument in self.config.args),
            all_claims=any(path in everything for path in paths),
        )

    def print_summary(self, reporter: pytest.TerminalReporter) -> None:
        """Print the verdict table, then readings, warnings and notes."""
        if self._run is None or not self._run.records:
            return
        writer = self.config.get_terminal_writer()
        # pytest has no public name for the file it writes to.
        encoding = getattr(writer._file, "encoding", None)
        # pytest takes a pipe for a terminal of 80 columns; whoever reads a file or a log has no such border.
        is_bounded = reporter.isatty or "COLUMNS" in os.environ
        width = writer.fullwidth if is_bounded else UNBOUNDED
        print_verdicts(reporter, self._run, width=width, encoding=encoding)


HARNESS = pytest.StashKey[Harness]()


def harness_of(config: pytest.Config) -> Harness:
    """The state of this process."""
    return config.stash[HARNESS]


def placed(criterion: Criterion, item: pytest.Item) -> Criterion:
    """``criterion`` in the item's own cell of a published table, where a checkpoint is labelled by its step.

    Raises :class:`ClaimError` for a control without an axis that the criterion of its claim looks up.
    """
    values = called_with(item)[1].items()
    cell: dict[str, Any] = {name: getattr(value, "step", value) for name, value in values if name in AXES}
    placed_criterion = criterion.placed(cell)
    for reference in placed_criterion.published:
        for label, axis in reference.where:
            if axis in AXES:
                raise ClaimError(f"{item.name}: {reference.text()} needs the axis {axis} for {label}; take it")
    return placed_criterion


def _not_run(skipped: BaseException) -> Evaluation:
    return Evaluation(Judgement(Verdict.NOT_EVALUATED, f"skipped: {skipped}"))
