from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pytest

from tests.cases import ARTIFACTS, pairs
from tests.refusals import refusal
from tests.sharing.conftest import FORMS, Reader
from universal_neurons.artifacts.archive import write_archive
from universal_neurons.artifacts.bundle import (
    Bundle,
    ExportDamaged,
    ExportUnfit,
    Listed,
    SharingError,
    SourceUnavailable,
)
from universal_neurons.artifacts.codec import decode, encode, json_bytes
from universal_neurons.artifacts.manifest import Manifest
from universal_neurons.artifacts.receipt import receipts_of
from universal_neurons.artifacts.store import Store, StoreError
from universal_neurons.errors import UserError
from universal_neurons.stages import sharing
from universal_neurons.stages.base import read_artifact
from universal_neurons.stages.registry import suite_keys, where
from universal_neurons.stages.sharing import export_suite
from universal_neurons.stages.study import imported_evidence, open_study
from universal_neurons.stages.universality import UNIVERSALITY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.miniature import Miniature

LIST = "evidence-mini.json"


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def files_of(archive: Path) -> dict[str, bytes]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            return {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


# --- what is written -------------------------------------------------------------------------------------------------


def test_every_form_of_an_export_holds_the_same_files_and_the_text_is_not_among_them(
    exports: Path, computed: Miniature
) -> None:
    folder = tree(exports / "folder")
    keys = set(suite_keys(computed.workspace()))
    assert {name.rpartition("/")[0] for name in folder} == {"", *(f"{key.stage}/{key.digest}" for key in keys)}
    assert len(folder) == 2 * len(keys) + 1
    assert not [name for name in folder if name.startswith(("tokens", "evaluation-tokens", "baseline-draws"))]
    for form in FORMS[1:]:
        assert files_of(exports / form) == folder
        assert next(iter(files_of(exports / form))) == LIST


@pytest.mark.parametrize("form", FORMS)
def test_two_exports_of_the_same_evidence_are_the_same_bytes(
    exports: Path, computed: Miniature, tmp_path: Path, form: str
) -> None:
    for _ in range(2):
        export_suite(computed.workspace(), tmp_path / form)
    one, other = exports / form, tmp_path / form
    assert tree(one) == tree(other) if form == "folder" else one.read_bytes() == other.read_bytes()


def test_no_file_of_an_export_names_a_path(exports: Path, computed: Miniature) -> None:
    for form in FORMS[1:]:
        content = (exports / form).read_bytes()
        assert str(computed.root).encode() not in content
        assert str(Path.home()).encode() + b"/" not in content


def test_an_export_can_be_shipped(exports: Path, reader: Reader) -> None:
    evidence = reader.project.root / "fixtures" / "evidence"
    shutil.copytree(exports / "folder", evidence)
    work = reader.project.workspace()
    assert {where(work, key) for key in suite_keys(work)} == {"shipped"}
    assert work.store.verify() == []


def test_two_suites_fit_into_one_folder(own_export: Path, reader: Reader, computed: Miniature) -> None:
    source = computed.copied(reader.project.root.with_name("source"))
    for project in (source, reader.project):
        suites = project.root / "fixtures" / "suites"
        shutil.copy(suites / "mini.toml", suites / "other.toml")
    export_suite(source.workspace("other"), own_export)
    assert {path.name for path in own_export.glob("*.json")} == {LIST, "evidence-other.json"}
    assert reader.pull(own_export, "other").new == ARTIFACTS
    assert reader.pull(own_export).present == ARTIFACTS
    assert [len(receipts_of(reader.imported, suite)) for suite in ("mini", "other")] == [1, 1]
    assert reader.said == []


def test_an_export_where_the_same_numbers_of_another_run_lie_is_whole(
    own_export: Path, own: Miniature, reader: Reader
) -> None:
    work = own.workspace()
    key = UNIVERSALITY.key(work, pairs(work, 30)[0])
    found = read_artifact(work, key)
    shutil.rmtree(own.working / key.stage / key.digest)
    work.store.write(key, found.table, replace(found.provenance, wall_seconds=1e6))
    export_suite(own.workspace(), own_export)
    assert reader.pull(own_export).new == ARTIFACTS


def test_an_export_of_something_absent_writes_nothing(miniature: Miniature, tmp_path: Path) -> None:
    for form in FORMS:
        with pytest.raises(UserError, match="run: universal-neurons compute --suite mini"):
            export_suite(miniature.workspace(), tmp_path / form)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS[1:])
def test_an_archive_that_is_there_with_other_bytes_stays(computed: Miniature, tmp_path: Path, form: str) -> None:
    (tmp_path / form).write_bytes(b"precious")
    said = refusal(SharingError, lambda: export_suite(computed.workspace(), tmp_path / form))
    assert said.endswith(f"{form}: exists, with other bytes; remove it, or name another file")
    assert tree(tmp_path) == {form: b"precious"}


@pytest.mark.parametrize("form", FORMS)
def test_an_export_to_a_full_disk_is_one_line(
    computed: Miniature, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write" if form == "folder" else "fsync", full)
    said = refusal(StoreError, lambda: export_suite(computed.workspace(), tmp_path / form))
    assert "no space left; nothing committed is lost; free some space there (df -h" in said
    assert tree(tmp_path) == {}


def test_an_export_of_another_kind_of_archive_is_refused(computed: Miniature, tmp_path: Path) -> None:
    said = refusal(SharingError, lambda: export_suite(computed.workspace(), tmp_path / "evidence.tar.gz"))
    assert "expected a folder or an archive that ends in .zip" in said


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_reader_who_computed_nothing_reads_the_same_numbers(
    exports: Path, reader: Reader, computed: Miniature, form: str
) -> None:
    pulled = reader.pull(exports / form)
    assert (pulled.new, pulled.present, pulled.absent) == (ARTIFACTS, 0, ())
    work = reader.project.workspace()
    assert {where(work, key) for key in suite_keys(work)} == {"imported"}
    assert not reader.project.working.exists()
    theirs, ours = computed.study(), reader.project.study()
    last = ours.checkpoints[-1]
    one, other = (study.universality(partner="b", checkpoint=last).frame for study in (ours, theirs))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert set(ours.provenance()["origin"]) == {"imported"}
    assert reader.said == []
    again = reader.pull(exports / form)
    assert (again.new, again.present) == (0, ARTIFACTS)
    assert {name for name in tree(reader.imported) if name.startswith((".staging", ".remote"))} == set()


def test_imported_artifacts_are_not_computed_again(exports: Path, reader: Reader) -> None:
    from universal_neurons.stages.runner import compute

    reader.pull(exports / "evidence.zip")
    assert compute(reader.project.workspace(local=True)) == 0


def test_a_narrowed_suite_imports_only_its_part(exports: Path, reader: Reader) -> None:
    pulled = reader.pull(exports / "folder", checkpoints=["100 %"])
    assert 0 < pulled.new < ARTIFACTS
    assert pulled.absent == ()
    rest = reader.pull(exports / "folder")
    assert (pulled.new + rest.new, rest.present) == (ARTIFACTS, pulled.new)
    (receipt,) = receipts_of(reader.imported, "mini")
    assert len(receipt.artifacts) == ARTIFACTS


def test_artifacts_that_are_here_are_kept_and_not_imported(exports: Path, reader: Reader, computed: Miniature) -> None:
    work = computed.workspace()
    key = UNIVERSALITY.key(work, pairs(work, 30)[0])
    found = work.store.read(key)
    assert found is not None
    here = reader.project.workspace().store
    here.write(key, found.table.assign(correlation=0.5), found.provenance)
    assert reader.pull(exports / "folder").present == 1
    ours = reader.project.workspace().store.read(key)
    assert ours is not None
    assert (ours.origin, set(ours.table["correlation"])) == ("working", {0.5})
    assert not (reader.imported / key.stage / key.digest).exists()


def test_the_study_says_that_evidence_was_imported(exports: Path, reader: Reader) -> None:
    lines: list[str] = []
    open_study("mini", root=reader.project.root, remote=str(exports / "evidence.zip"), warn=lines.append)
    assert lines == [
        f"{ARTIFACTS} artifacts of suite mini were imported, and no sample of them was computed again here; run: "
        "universal-neurons store verify --recompute-sample --suite mini"
    ]


def test_a_recomputation_imports_nothing(exports: Path, reader: Reader) -> None:
    with pytest.raises(UserError, match="leave out --remote"):
        open_study("mini", root=reader.project.root, remote=str(exports / "folder"), recompute=True)
    assert not reader.imported.exists()


def test_a_receipt_names_the_source_and_no_path(exports: Path, reader: Reader) -> None:
    reader.pull(exports / "evidence.zip")
    (receipt,) = receipts_of(reader.imported, "mini")
    assert (receipt.source, receipt.sample, len(receipt.artifacts)) == ("evidence.zip", None, ARTIFACTS)
    assert receipt.bundle == Bundle.decode((exports / "folder" / LIST).read_bytes(), where="").sha256
    imported = imported_evidence(reader.project.workspace())
    assert (len(imported.checked), len(imported.unchecked), imported.sources) == (0, ARTIFACTS, (receipt,))
    for data in tree(reader.imported).values():
        assert str(exports).encode() not in data


# --- damage ----------------------------------------------------------------------------------------------------------


def artifact_files(export: Path) -> list[Path]:
    return sorted(path for path in export.rglob("*") if path.is_file() and path.name != LIST)


def instead(path: Path, make: Callable[[], object]) -> None:
    path.unlink()
    make()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "a bit flipped": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: instead(path, path.mkdir),
    "a pipe": lambda path: instead(path, lambda: os.mkfifo(path)),
    "a link to nothing": lambda path: instead(path, lambda: path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["manifest.json", "payload.*"])
def test_a_damaged_export_is_one_line_and_verified_artifacts_stay(
    own_export: Path, exports: Path, reader: Reader, damage: str, file: str
) -> None:
    victim = next(iter(sorted(own_export.glob(f"universality/*/{file}"))))
    DAMAGES[damage](victim)
    said = refusal(ExportDamaged, lambda: reader.pull(own_export))
    assert said.startswith(("folder own-export: universality/", f"{own_export}: universality/"))
    assert victim.parent.name[:12] in said
    store = reader.project.workspace().store
    assert store.verify() == []
    taken = len(store.entries())
    assert 0 < taken < ARTIFACTS
    assert not (reader.imported / "universality" / victim.parent.name).exists()
    # What was taken from it is known to be from there, and a sound export completes it.
    (receipt,) = receipts_of(reader.imported, "mini")
    assert receipt.source == "folder own-export"
    assert len(receipt.artifacts) == taken
    assert reader.pull(exports / "folder").present == taken


@pytest.mark.parametrize("damage", ["empty", "cut short", "longer", "a bit flipped"])
def test_a_damaged_list_is_one_line_and_nothing_is_imported(own_export: Path, reader: Reader, damage: str) -> None:
    DAMAGES[damage](own_export / LIST)
    said = refusal(ExportDamaged, lambda: reader.pull(own_export))
    assert said.startswith(f"folder own-export: {LIST}: ")
    assert not reader.imported.exists()


@pytest.mark.parametrize("form", FORMS[1:])
def test_an_archive_cut_short_is_one_line(exports: Path, reader: Reader, tmp_path: Path, form: str) -> None:
    data = (exports / form).read_bytes()
    # The last tenth of a tar is nothing but zeros to fill its last block.
    for share in (0, 0.01, 0.3, 0.9):
        (tmp_path / form).write_bytes(data[: int(len(data) * share)])
        with pytest.raises(SharingError) as caught:
            reader.pull(tmp_path / form)
        assert str(caught.value).isprintable()
        assert str(caught.value).startswith(f"{form}: ")
        assert reader.project.workspace().store.verify() == []
    assert reader.pull(exports / form).new + len(list(reader.imported.glob("*/*/manifest.json"))) >= ARTIFACTS


def test_an_archive_that_reaches_out_of_its_folder_writes_nothing_there(
    exports: Path, reader: Reader, tmp_path: Path
) -> None:
    files = [*files_of(exports / "evidence.zip").items(), ("../../evil", b"evil")]
    for form in FORMS[1:]:
        write_archive(tmp_path / form, files)
        reader.pull(tmp_path / form)
    assert not list(tmp_path.rglob("evil"))


def resealed(export: Path, change: Callable[[list[Listed]], list[Listed]], **fields: Any) -> None:
    """Change the list as somebody would who knows how to seal it."""
    bundle = Bundle.decode((export / LIST).read_bytes(), where="")
    values = {"suite": bundle.suite, "narrowing": "", "lock": None, "artifacts": tuple(change(list(bundle.artifacts)))}
    (export / LIST).write_bytes(Bundle(**{**values, **fields}).encode())


def forged(export: Path, stage: str, change: Callable[[Any], Any]) -> None:
    """Change the first artifact of a stage as somebody would who computed another one: all digests fit."""
    folder = min(export.glob(f"{stage}/*"))
    manifest = Manifest.decode((folder / "manifest.json").read_bytes())
    value = decode(manifest.suffix, (folder / manifest.file).read_bytes())
    (folder / manifest.file).unlink()
    suffix, payload = encode(change(value))
    other = Manifest.of(manifest.key, suffix, payload, manifest.provenance)
    (folder / other.file).write_bytes(payload)
    (folder / "manifest.json").write_bytes(other.encode())
    resealed(export, lambda listed: [Listed.of(other) if one.digest == folder.name else one for one in listed])


FORGED: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "a record without anything": ("corpus", lambda _: {}, "'ref': expected a value, got none"),
    "a table without a column": ("universality", lambda frame: frame.drop(columns="correlation"), "no such column"),
    "half of a table": ("universality", lambda frame: frame.iloc[: len(frame) // 2], "values, got "),
    "a table of a million rows": (
        "universality",
        lambda frame: pd.concat([frame] * (1_000_000 // len(frame)), ignore_index=True).assign(correlation=0.5),
        "expected at most ",
    ),
}


@pytest.mark.parametrize(("stage", "change", "said"), FORGED.values(), ids=FORGED)
def test_evidence_of_another_form_is_refused_and_blocks_nothing(
    own_export: Path, exports: Path, reader: Reader, stage: str, change: Callable[[Any], Any], said: str
) -> None:
    forged(own_export, stage, change)
    line = refusal_of_either(lambda: reader.pull(own_export))
    assert line.startswith(f"folder own-export: {stage}/")
    assert said in line
    assert reader.pull(exports / "folder").lacks is None
    assert reader.project.workspace().store.verify() == []


def refusal_of_either(action: Callable[[], object]) -> str:
    with pytest.raises((ExportUnfit, ExportDamaged)) as caught:
        action()
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_manifest_of_another_version_is_no_damage(own_export: Path, reader: Reader) -> None:
    table = next(own_export.glob("universality/*"))
    raw = json.loads((table / "manifest.json").read_text())
    del raw["manifest_sha256"]
    raw["provenance"]["weather"] = "fine"
    raw["manifest_sha256"] = sha256(json_bytes(raw)).hexdigest()
    (table / "manifest.json").write_bytes(json_bytes(raw))
    digest = sha256((table / "manifest.json").read_bytes()).hexdigest()
    resealed(
        own_export,
        lambda listed: [replace(one, manifest_sha256=digest) if one.digest == table.name else one for one in listed],
    )
    said = refusal(ExportUnfit, lambda: reader.pull(own_export))
    assert (
        f"universality/{table.name[:12]}: its manifest is not readable (ProvenanceError), though its digest fits"
        in said
    )
    assert said.endswith("; written by another version of the project: use that one, or have it exported again")


def test_an_artifact_under_the_name_of_another_is_refused(own_export: Path, reader: Reader) -> None:
    tables = sorted(own_export.glob("universality/*"))

    def swapped(listed: list[Listed]) -> list[Listed]:
        by = {one.digest: one for one in listed}
        one, other = by[tables[0].name], by[tables[1].name]
        lying = Listed(one.stage, one.digest, other.suffix, other.sha256, other.size, other.manifest_sha256)
        return [lying if entry == one else entry for entry in listed]

    shutil.rmtree(tables[0])
    shutil.copytree(tables[1], tables[0])
    resealed(own_export, swapped)
    assert f"manifest.json belongs to universality/{tables[1].name[:12]}" in refusal(
        ExportDamaged, lambda: reader.pull(own_export)
    )
    assert not (reader.imported / "universality" / tables[0].name).exists()


# --- another suite, other settings, another version -------------------------------------------------------------------


def test_another_suite_is_one_line(own_export: Path, reader: Reader) -> None:
    said = refusal(ExportUnfit, lambda: reader.pull(own_export, "brief"))
    assert said == (
        "folder own-export: has no evidence-brief.json, so it is no evidence of suite brief; expected what was written "
        "by: universal-neurons store export --suite brief"
    )
    (own_export / LIST).rename(own_export / "evidence-brief.json")
    said = refusal(ExportUnfit, lambda: reader.pull(own_export, "brief"))
    assert said == "folder own-export: evidence-brief.json is about suite 'mini'; expected brief"
    assert not reader.imported.exists()


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("draws = 4", "draws = 5", "universality: parameters.draws is 4 instead of 5"),
        ("tokens = 3000", "tokens = 2900", "corpus: parameters.tokens is 3000 instead of 2900"),
        ('rotation = "gaussian"', 'rotation = "orthogonal"', 'universality: parameters.rotation is "gaussian" instead'),
    ],
)
def test_other_settings_are_named(exports: Path, reader: Reader, old: str, new: str, difference: str) -> None:
    reader.project.replace("fixtures/suites/mini.toml", old, new)
    said = refusal(ExportUnfit, lambda: reader.pull(exports / "folder"))
    assert f"folder folder: its evidence is not that of suite mini here: {difference}" in said
    assert said.endswith("; use the version and the options that it was exported with, or compute it")


def test_a_narrowing_that_changes_the_tokens_is_named(exports: Path, reader: Reader) -> None:
    said = refusal(ExportUnfit, lambda: reader.pull(exports / "folder", tokens=2000))
    assert "suite mini (tokens 2000" in said
    assert "here: corpus: parameters.tokens is 3000 instead of 2000;" in said


def test_another_version_of_a_stage_is_named(exports: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("universal_neurons.stages.universality.Universality.version", 2)
    said = refusal(ExportUnfit, lambda: reader.pull(exports / "folder"))
    assert "universality: version is 1 instead of 2;" in said


def test_a_later_format_is_another_version_and_no_damage(own_export: Path, reader: Reader) -> None:
    raw = json.loads((own_export / LIST).read_text())
    (own_export / LIST).write_text(json.dumps({**raw, "format": 2}))
    said = refusal(ExportUnfit, lambda: reader.pull(own_export))
    assert "written in format 2, this version of the project reads 1" in said


def test_a_warning_names_the_missing_artifacts_and_the_rest_is_imported(own_export: Path, reader: Reader) -> None:
    resealed(own_export, lambda listed: [one for one in listed if one.stage != "profiles"])
    pulled = reader.pull(own_export)
    assert (pulled.new, [key.stage for key in pulled.absent]) == (ARTIFACTS - 3, ["profiles"] * 3)
    assert reader.said == ["folder own-export lacks 3 artifacts of suite mini (3 profiles); profiles: there is none"]


def test_a_warning_names_the_differing_setting(exports: Path, reader: Reader) -> None:
    reader.project.replace("fixtures/suites/mini.toml", "padded_tokens = 800", "padded_tokens = 700")
    assert [key.stage for key in reader.pull(exports / "folder").absent] == ["variants"] * 2
    (line,) = reader.said
    assert line.endswith("(2 variants); variants: parameters.padded_tokens is 800 instead of 700")


def test_an_export_without_any_table_is_refused(own_export: Path, reader: Reader) -> None:
    resealed(own_export, lambda listed: [one for one in listed if one.stage in ("corpus", "evaluation")])
    assert "universality: there is none;" in refusal(ExportUnfit, lambda: reader.pull(own_export))


# --- the disk, and many at once --------------------------------------------------------------------------------------


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_too_little_space_is_said_before_anything_is_copied(
    exports: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 50))
    said = refusal(SharingError, lambda: reader.pull(exports / "folder"))
    assert said.endswith("MB, 0.0 MB are free for .universal-neurons/imported; free some space and run again")
    assert not list(reader.imported.glob("*/*/manifest.json"))


@pytest.mark.parametrize("size", [(1 << 22) + 1, 10**18, 10**400], ids=["a byte too many", "no disk", "no number"])
def test_a_payload_that_is_larger_than_any_of_its_kind_is_not_even_tried(
    own_export: Path, reader: Reader, size: int
) -> None:
    def huge(listed: Listed) -> Listed:
        return replace(listed, size=size)

    resealed(own_export, lambda listed: [huge(one) if one.stage == "corpus" else one for one in listed])
    said = refusal(ExportDamaged, lambda: reader.pull(own_export))
    assert said.startswith(f"folder own-export: {LIST}: corpus/")
    assert said.endswith(f": a payload of {str(size)[:20]} bytes, expected at most {1 << 22}")
    assert not reader.imported.exists()


def test_a_list_that_is_larger_than_any_is_not_read(own_export: Path, reader: Reader) -> None:
    (own_export / LIST).write_bytes(b" " * ((1 << 22) + 1))
    assert f"has more than the {1 << 22} bytes" in refusal(ExportDamaged, lambda: reader.pull(own_export))


def test_a_full_disk_is_one_line_and_the_import_can_be_resumed(
    exports: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = os.write, [0]

    def filling(descriptor: int, data: Any) -> int:
        written[0] += 1
        if written[0] > 40:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling)
        said = refusal(StoreError, lambda: reader.pull(exports / "evidence.zip"))
    assert "no space left; nothing committed is lost; free some space there" in said
    store = reader.project.workspace().store
    before = len(store.entries())
    assert store.verify() == []
    assert before > 0
    assert reader.pull(exports / "evidence.zip").new == ARTIFACTS - before


def test_a_vanished_source_is_one_line_and_the_import_can_be_resumed(
    exports: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    from universal_neurons.artifacts.remote import _Folder

    real, reads = _Folder.read, [0]

    def failing(self: Any, name: str, limit: int) -> bytes:
        reads[0] += 1
        if reads[0] > 51:
            raise SourceUnavailable("folder folder: gone")
        return real(self, name, limit)

    with monkeypatch.context() as patch:
        patch.setattr(_Folder, "read", failing)
        assert refusal(SourceUnavailable, lambda: reader.pull(exports / "folder")) == "folder folder: gone"
    assert reader.pull(exports / "folder").present == 25


class Forge:
    """A process that has everything imported and forks importers to order, so that one costs no start."""

    script = """
import os, signal, sys
from pathlib import Path
from universal_neurons.stages.sharing import pull

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
say("ready")
for line in sys.stdin:
    root, source = line.rstrip("\\n").split("\\t")
    if os.fork() == 0:
        say(os.getpid())
        try:
            say("took", pull("mini", source, root=Path(root), warn=print).new)
        finally:
            os._exit(0)
"""

    def __init__(self) -> None:
        source = str(Path(sharing.__file__).parents[2])
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self.line() == "ready"

    def start(self, reader: Reader, source: Path) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{reader.project.root}\t{source}\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.communicate(timeout=10)


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    made = Forge()
    yield made
    made.close()


def test_importers_killed_at_any_moment_leave_whole_artifacts_and_the_next_one_completes(
    exports: Path, reader: Reader, forge: Forge
) -> None:
    found = 0
    for wanted in (1, 7, 8, 20, 33):
        forge.start(reader, exports / "evidence.zip")
        process = int(forge.line())
        deadline = time.monotonic() + 60
        # Not the folders of writers, whose names begin with a dot.
        while len(list(reader.imported.glob("*/[0-9a-f]*/manifest.json"))) < wanted and time.monotonic() < deadline:
            time.sleep(0.0005)
        os.kill(process, signal.SIGKILL)
        store = reader.project.workspace().store
        assert store.verify() == []
        assert len(store.entries()) >= found
        found = len(store.entries())
        assert wanted <= found < ARTIFACTS, "killed while it was importing"
    pulled = reader.pull(exports / "evidence.zip")
    assert (pulled.new + pulled.present, pulled.present) == (ARTIFACTS, found)
    (receipt,) = receipts_of(reader.imported, "mini")
    assert len(receipt.artifacts) == ARTIFACTS


def test_many_concurrent_imports_into_one_store_agree(exports: Path, reader: Reader, forge: Forge) -> None:
    for form in FORMS:
        forge.start(reader, exports / form)
    said = [forge.line() for _ in range(2 * len(FORMS))]
    assert sum(int(line.removeprefix("took ")) for line in said if line.startswith("took ")) == ARTIFACTS
    store = reader.project.workspace().store
    assert store.verify() == []
    assert len(store.entries()) == ARTIFACTS
    assert not list(reader.imported.rglob(".staging-*"))
    # One export is one receipt, whatever its form.
    (receipt,) = receipts_of(reader.imported, "mini")
    assert len(receipt.artifacts) == ARTIFACTS


def test_many_concurrent_exports_to_one_target_write_one_export(
    computed: Miniature, exports: Path, tmp_path: Path
) -> None:
    errors: list[BaseException] = []

    def export(form: str) -> None:
        try:
            export_suite(computed.workspace(), tmp_path / form)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=export, args=(form,)) for form in FORMS * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert tree(tmp_path / "folder") == tree(exports / "folder")
    assert {path.name for path in tmp_path.iterdir()} == set(FORMS)
    for form in FORMS[1:]:
        assert (tmp_path / form).read_bytes() == (exports / form).read_bytes()
    assert Store(tmp_path / "reader", [tmp_path / "folder"], warn=print).verify() == []
