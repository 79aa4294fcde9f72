"""A release holds the package and nothing else, is the same bytes when built again, or is refused with a sentence."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
FILES = (".gitignore", "CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "constraints.txt", "pyproject.toml")
REPOSITORY = "https://anna:hunter2@example.org/club/touchline.git"
TODAY = "2026-01-02T03:04:05+00:00"
GIT = {
    **{f"GIT_{who}_{what}": "anna" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_AUTHOR_DATE": TODAY,
    "GIT_COMMITTER_DATE": TODAY,
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def git(where: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=where, env={**os.environ, **GIT}, check=True, capture_output=True, text=True
    ).stdout


def release(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(clone / ".ci/release"), *arguments]
    return subprocess.run(command, cwd=clone, env={**os.environ, **GIT}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of this very tree, whose version is tagged and in the changelog."""
    clone = tmp_path_factory.mktemp("club") / "touchline"
    for folder in (".ci", "src"):
        shutil.copytree(ROOT / folder, clone / folder)
    (clone / "tests").mkdir()
    for name in (*FILES, "tests/test_config.py"):
        shutil.copy2(ROOT / name, clone / name)
    changelog = clone / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("## Unreleased", "## 0.1.0 (2026-01-02)"))
    git(clone, "init", "--quiet", "--initial-branch=main")
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "Release 0.1.0")
    git(clone, "tag", "v0.1.0")
    return clone


@pytest.fixture(scope="module")
def released(tagged: Path) -> Path:
    """What the release command made, in a clone where work has left its traces."""
    for left in (".touchline/runs/1/journal.db", "build/lib/touchline/old.py", "src/touchline/__pycache__/old.pyc"):
        (tagged / left).parent.mkdir(parents=True, exist_ok=True)
        (tagged / left).write_text("left over")
    done = release(tagged, "v0.1.0", "--repository", REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert "twine upload" in done.stdout
    assert "sha256sum -c" in done.stdout
    return tagged / "dist/v0.1.0"


@pytest.fixture
def clone(tagged: Path, tmp_path: Path) -> Path:
    """A clone to spoil."""
    git(tmp_path, "clone", "--quiet", str(tagged), "clone")
    git(tmp_path / "clone", "config", "remote.origin.url", "git@example.org:club/touchline.git")
    return tmp_path / "clone"


def script_of(clone: Path) -> ModuleType:
    """The release command of a clone, as a module."""
    loader = SourceFileLoader(f"release_of_{id(clone)}", str(clone / ".ci/release"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = sys.modules[loader.name] = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def only(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file


def test_a_release_is_a_wheel_a_source_distribution_their_sums_and_their_provenance(released: Path) -> None:
    assert sorted(file.name for file in released.iterdir()) == [
        "SHA256SUMS",
        "touchline-0.1.0-py3-none-any.whl",
        "touchline-0.1.0.provenance.json",
        "touchline-0.1.0.tar.gz",
    ]
    checked = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=released, capture_output=True)
    assert checked.returncode == 0
    assert [left.name for left in released.parent.iterdir()] == ["v0.1.0"]


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(released: Path) -> None:
    names = set(zipfile.ZipFile(only(released, "*.whl")).namelist())
    assert names > {
        "touchline/py.typed",
        "touchline/report/templates/report.html",
        "touchline/soccer/models/walker/policy.safetensors",
        "touchline/deploy/files/init.sh",
        "touchline-0.1.0.dist-info/licenses/LICENSE",
    }
    assert {name.split("/")[0] for name in names} == {"touchline", "touchline-0.1.0.dist-info"}
    assert not [name for name in names if Path(name).stem == "old"]


def test_the_source_distribution_holds_what_builds_it_and_no_tests(released: Path) -> None:
    with tarfile.open(only(released, "*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names > {"LICENSE", "CHANGELOG.md", "constraints.txt", "pyproject.toml", "src/touchline/py.typed"}
    assert not [name for name in names if name.startswith(("tests", ".", "build", "dist"))]


def test_the_provenance_names_what_was_built_and_of_which_commit(released: Path, tagged: Path) -> None:
    proof = json.loads(only(released, "*.provenance.json").read_text())
    assert (proof["_type"], proof["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    assert {subject["name"]: subject["digest"]["sha256"] for subject in proof["subject"]} == {
        file.name: digest(file) for file in released.iterdir() if file.suffix in (".whl", ".gz")
    }
    definition, run = proof["predicate"]["buildDefinition"], proof["predicate"]["runDetails"]
    repository = "https://example.org/club/touchline.git"
    assert definition["externalParameters"] == {"repository": repository, "ref": "refs/tags/v0.1.0"}
    source, constraints, *tools = definition["resolvedDependencies"]
    assert source == {
        "uri": f"git+{repository}@refs/tags/v0.1.0",
        "digest": {"gitCommit": git(tagged, "rev-parse", "HEAD").strip()},
    }
    assert constraints["digest"] == {"sha256": digest(tagged / "constraints.txt")}
    assert {tool["uri"].partition("@")[0] for tool in tools} >= {"pkg:pypi/build", "pkg:pypi/setuptools"}
    assert run["builder"]["id"] == f"git+{repository}#.ci/release"
    assert run["metadata"]["startedOn"] <= run["metadata"]["finishedOn"]
    assert "hunter2" not in json.dumps(proof)


def test_the_same_commit_gives_the_same_bytes(released: Path, tagged: Path, tmp_path: Path) -> None:
    tree = tmp_path / "elsewhere"
    shutil.copytree(tagged, tree, ignore=shutil.ignore_patterns(".git", ".touchline", "build", "dist", "__pycache__"))
    before = os.umask(0o077)
    try:
        again = script_of(tagged).build(tree, int(git(tagged, "log", "-1", "--format=%ct")), tmp_path / "made")
    finally:
        os.umask(before)
    assert {file.name: digest(file) for file in again} == {file.name: digest(released / file.name) for file in again}


def test_a_file_that_the_build_forgets_is_named(released: Path, tagged: Path) -> None:
    script = script_of(tagged)
    wheel, sdist = only(released, "*.whl"), only(released, "*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        tracked = {f"src/{name}" for name in archive.namelist() if name.startswith("touchline/")}
    script.check_contents(sdist, wheel, tracked, "0.1.0")
    with pytest.raises(script.Refusal, match="lacks 1 file: touchline/forgotten.html. See package-data"):
        script.check_contents(sdist, wheel, {*tracked, "src/touchline/forgotten.html"}, "0.1.0")
    with pytest.raises(script.Refusal, match="has 1 file that it should not: touchline/py.typed"):
        script.check_contents(sdist, wheel, tracked - {"src/touchline/py.typed"}, "0.1.0")


def spoil(clone: Path, file: str, old: str, new: str) -> None:
    """Commit a change and move the tag there."""
    text = (clone / file).read_text()
    assert old in text
    (clone / file).write_text(text.replace(old, new, 1))
    git(clone, "commit", "--quiet", "-am", "Spoil it")
    git(clone, "tag", "--force", "v0.1.0")


def refused(clone: Path, tag: str = "v0.1.0") -> str:
    script = script_of(clone)
    with pytest.raises(script.Refusal) as refusal:
        script.release(tag, None, clone / "dist", with_dependencies=False)
    assert not (clone / "dist").exists()
    return str(refusal.value)


def test_a_refusal_is_a_sentence_and_exit_code_2(clone: Path) -> None:
    done = release(clone, "v0.2.0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no tag v0.2.0 here. Make it with: git tag -a v0.2.0 -m 'Touchline 0.2.0'\n"


def test_only_the_tag_that_is_checked_out_unchanged_is_released(clone: Path) -> None:
    assert "not of the form v1.2.3" in refused(clone, "0.1.0")
    (clone / "note.txt").write_text("mine")
    assert "The tree has 1 change that the tag has not: note.txt." in refused(clone)
    git(clone, "add", ".")
    git(clone, "commit", "--quiet", "-m", "Go on")
    assert "First: git checkout v0.1.0" in refused(clone)


def test_a_tag_that_differs_from_a_version_in_the_source_is_refused(clone: Path) -> None:
    spoil(clone, "src/touchline/__init__.py", '"0.1.0"', '"0.1.1"')
    assert "names version 0.1.0, but src/touchline/__init__.py has 0.1.1" in refused(clone)
    spoil(clone, "pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"')
    assert "names version 0.1.0, but pyproject.toml has 0.2.0" in refused(clone)


def test_a_changelog_that_does_not_tell_of_the_release_is_refused(clone: Path) -> None:
    spoil(clone, "CHANGELOG.md", "## 0.1.0 (2026-01-02)", "## Unreleased\n\n- More.\n\n## 0.1.0 (2026-01-02)")
    assert "still has 1 line under Unreleased" in refused(clone)
    spoil(clone, "CHANGELOG.md", "- More.\n\n## 0.1.0 (2026-01-02)", "- More.")
    assert "Rename its heading '## Unreleased' to '## 0.1.0 (2026-01-02)'" in refused(clone)


def test_an_origin_that_nobody_else_can_reach_is_refused(clone: Path, tagged: Path) -> None:
    git(clone, "config", "remote.origin.url", str(tagged))
    assert "is no address where others find the source. Name one: --repository" in refused(clone)


def test_a_release_that_is_there_is_left_alone(clone: Path) -> None:
    (clone / "dist/v0.1.0").mkdir(parents=True)
    script = script_of(clone)
    with pytest.raises(script.Refusal, match="is there already"):
        script.release("v0.1.0", None, clone / "dist", with_dependencies=False)
    assert list((clone / "dist/v0.1.0").iterdir()) == []
