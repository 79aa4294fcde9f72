"""Names and paths that lead elsewhere are refused, and nothing is read or written outside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchline
from touchline.checkpoint.manifest import Damaged, parse
from touchline.checkpoint.manifest import _digest as digest_of_manifest
from touchline.config import Settings
from touchline.errors import TouchlineError, UsageError
from touchline.filesystem import is_inside, refuse_links_out
from touchline.migration.files import Files
from touchline.migration.source import Findings
from touchline.migration.wandb_media import Media
from touchline.report.facts import read_facts
from touchline.testing.sinks import RecordedRun
from touchline.tracking.events import slug
from touchline.tracking.media import check_path, keep, kept
from touchline.tracking.run import Run
from touchline.tracking.sinks.tensorboard import TensorboardSink
from touchline.tracking.start import start_run

HOSTILE = [
    "../x",
    "a/../../x",
    "/etc/passwd",
    "..",
    "a/..",
    "a\0b",
    "a\nb",
    "a\x7fb",
    "",
    "x" * 300,
    "a/" + "é" * 200,
]
names = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from(["..", ".", "", "a", "\0", "~", "x\ny", "C:", "%2e%2e", "é"]), max_size=6).map("/".join),
    st.text(max_size=30),
)


@pytest.fixture
def run(home: Path) -> Run:
    """A run without far sides."""
    return start_run("train", settings=Settings(home=home, sinks=(), capture=()))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_of_an_artifact_or_a_model_is_refused(name: str, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    before = set(tmp_path.rglob("*"))
    if name:
        with pytest.raises(UsageError):
            run.log_artifact(file, name)
        with pytest.raises(UsageError):
            run.log_model(tmp_path, name=name, code=file)
    with pytest.raises(UsageError):
        keep(run.directory, file, "artifacts", name)
    assert set(tmp_path.rglob("*")) - before <= set(run.directory.rglob("*"))
    run.finish()


@settings(max_examples=60)
@given(names)
def test_a_name_is_refused_or_stays_inside(name: str) -> None:
    try:
        check_path(name)
    except UsageError:
        return
    root = Path("/run/of/mine")
    assert is_inside(root / name, root)


@settings(max_examples=60)
@given(names)
def test_a_slug_is_one_part_of_a_path(name: str) -> None:
    made = slug(name)
    assert made not in ("", ".", "..") and not set(made) & set("/\0\n\\")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "..", "a\0b", "a\nb", "x" * 300, ""])
def test_names_of_videos_images_metrics_and_jobs_stay_in_the_run(name: str, home: Path, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"x")
    outside = {path for path in tmp_path.rglob("*") if home not in path.parents}
    with start_run(name, name=name, settings=Settings(home=home, sinks=(), capture=())) as run:
        run.log_image(picture, name)
        run.log_video(picture, name)
        run.log({name: 1.0})
    assert run.directory.parent == home / "runs"
    assert {path for path in tmp_path.rglob("*") if home not in path.parents} == outside


@pytest.mark.parametrize("run_id", ["../x", "/etc/x", "..", "a/b", "a\0b", "a\nb", "", "."])
def test_a_hostile_run_id_is_refused(run_id: str, home: Path) -> None:
    with pytest.raises(UsageError):
        start_run("train", run_id=run_id, settings=Settings(home=home, sinks=()))
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("path", ["../../secret.png", "/etc/passwd", "media/link", "a\0b"])
def test_a_journal_that_names_a_file_outside_of_its_run_has_it_neither_sent_nor_shown(
    path: str, tmp_path: Path
) -> None:
    recorded = RecordedRun(tmp_path / "runs")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (recorded.directory / "media").mkdir()
    (recorded.directory / "media" / "link").symlink_to(tmp_path / "secret.png")
    recorded.record("image", {"name": "picture", "path": path, "caption": ""}, 1)
    recorded.record("artifact", {"name": "evidence.json", "path": path})
    recorded.end()
    with pytest.raises(TouchlineError, match="not in the run's directory"):
        kept(recorded.directory, path)
    cursor = recorded.deliver(TensorboardSink(Settings(home=tmp_path)))
    assert ["not in the run's directory" in refusal.reason for refusal in cursor.set_aside] == [True]
    with pytest.raises(TouchlineError, match="not in the run's directory"):
        read_facts(recorded.directory)


@pytest.mark.parametrize("file", ["..", ".", "a/b", "/etc/passwd", "a\nb", "a\0b"])
def test_a_checkpoint_whose_manifest_names_a_file_elsewhere_is_damaged(file: str) -> None:
    body = {"format": 2, "about": {}, "files": {file: {"bytes": 1, "sha256": "0"}}}
    with pytest.raises(Damaged, match="not a file of its own"):
        parse(json.dumps({**body, "sha256": digest_of_manifest(body)}).encode())


def test_a_link_in_a_fetched_directory_that_leads_out_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "inner").mkdir(parents=True)
    (model / "inner" / "weights").write_text("x")
    (model / "weights").symlink_to("inner/weights")
    refuse_links_out(model, "models:/x/1")
    (model / "inner" / "out").symlink_to("../../secret")
    with pytest.raises(TouchlineError, match=r"models:/x/1 holds the symbolic link inner/out to ../../secret"):
        refuse_links_out(model, "models:/x/1")


@pytest.mark.parametrize("target", ["../outside", "../outside/secret.txt", "/etc/hostname"])
def test_a_link_in_a_logged_directory_that_leads_out_is_refused_before_anything_is_copied(
    target: str, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    logged = tmp_path / "logged" / "inner"
    logged.mkdir(parents=True)
    (logged / "file").write_text("x")
    (logged / "link").symlink_to(Path("..") / target)
    for unchanging in (False, True):
        with pytest.raises(TouchlineError, match=r"symbolic link inner/link to .*which leads out of it. Nothing was"):
            keep(tmp_path / "run", logged.parent, "artifacts", "logged", unchanging=unchanging)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("unchanging", [False, True])
def test_links_inside_a_logged_directory_and_a_link_to_it_are_followed(unchanging: bool, tmp_path: Path) -> None:
    logged = tmp_path / "logged"
    (logged / "steps").mkdir(parents=True)
    (logged / "steps" / "100.ckpt").write_text("weights")
    (logged / "last.ckpt").symlink_to("steps/100.ckpt")
    (logged / "all").symlink_to(logged / "steps")
    (tmp_path / "latest").symlink_to(logged)
    copied = tmp_path / "run" / keep(tmp_path / "run", tmp_path / "latest", "artifacts", "x", unchanging=unchanging)
    for name in ("last.ckpt", "all/100.ckpt", "steps/100.ckpt"):
        assert (copied / name).read_text() == "weights"
    assert not any(path.is_symlink() for path in copied.rglob("*"))
    alone = tmp_path / "run" / keep(tmp_path / "run", logged / "last.ckpt", "artifacts", "y", unchanging=unchanging)
    assert alone.read_text() == "weights" and not alone.is_symlink()


@pytest.mark.parametrize("path", ["../../secret.png", "/etc/hostname", "link.png"])
def test_an_imported_run_takes_no_picture_and_no_table_from_outside(path: str, tmp_path: Path) -> None:
    folder, directory = tmp_path / "source" / "files", tmp_path / "run"
    folder.mkdir(parents=True)
    (tmp_path / "secret.png").write_text('{"columns": ["a"], "data": [[1]]}')
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    findings = Findings()
    media = Media(folder, Files(directory), findings)
    for kind in ("image-file", "table-file"):
        assert list(media.events("picture", {"_type": kind, "path": path}, 1, 0.0)) == []
    assert not directory.exists() and len(findings.omissions) == 2


@pytest.mark.parametrize("name", ["../x", "/x", "a\nb"])
def test_an_imported_file_of_a_hostile_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Files(tmp_path / "run").text("x", name)
    with pytest.raises(UsageError):
        Files(None).text("x", name)
    assert list(tmp_path.iterdir()) == []


def test_no_code_of_ours_unpacks_an_archive() -> None:
    unpacks = re.compile(r"\b(extractall|extract|unpack_archive)\(|\bimport tarfile")
    package = Path(touchline.__file__).parent
    assert [file for file in package.rglob("*.py") if unpacks.search(file.read_text("utf-8"))] == []
