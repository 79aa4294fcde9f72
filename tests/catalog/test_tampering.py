"""Whatever changes in a registered model's files, it does not load."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from touchline.catalog import Catalog, claim_attempt, directory_digest, load_model, promote, rollback
from touchline.catalog.ledger import history
from touchline.catalog.payload import payload_of
from touchline.errors import TouchlineError
from touchline.testing.unity_catalog import environment_of, unity_catalog

from .conftest import log_to, plain_version, written_policy

PASSED = {"passed": "true", "provisional": "true", "reason": "It is better."}


def stored(catalog: Catalog) -> Path:
    """The directory of the one model in MLflow's artifacts."""
    (path,) = (catalog.settings.home / "mlartifacts").rglob("MLmodel")
    return path.parent


def of_payload_and_code(model: Path) -> list[Path]:
    payload = model / "artifacts" / "policy"
    return sorted(p for p in model.rglob("*") if p.is_file() and (p.is_relative_to(payload) or p.suffix == ".py"))


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, int, int, int]:
    """What is done, to which file, at which byte, with which bits."""
    what = draw(st.sampled_from(["flip", "cut", "append", "remove", "add to payload", "add code", "rename"]))
    return what, draw(st.integers(0, 99)), draw(st.integers(0, 10_000)), draw(st.integers(1, 255))


def change(model: Path, what: str, which: int, where: int, bits: int) -> None:
    files = of_payload_and_code(model)
    file = files[which % len(files)]
    content = bytearray(file.read_bytes())
    match what:
        case "flip":
            content[where % len(content)] ^= bits
            file.write_bytes(content)
        case "cut":
            file.write_bytes(content[: where % len(content)])
        case "append":
            file.write_bytes(bytes(content) + bytes([bits]))
        case "remove":
            file.unlink()
        case "add to payload":
            (model / "artifacts" / "policy" / f"new{which}").write_bytes(bytes([bits]))
        case "add code":
            (model / f"new{which}.py").write_bytes(b"")
        case "rename":
            file.rename(file.with_name(f"other-{file.name}"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, fresh_store: Path) -> Catalog:
    place = tmp_path_factory.mktemp("tampering")
    shutil.copy(fresh_store, place)
    catalog = Catalog(f"sqlite:///{place / 'mlflow.db'}", "club.models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        catalog.register("finetune", log_to(catalog, written_policy(place / "policy")))
    return catalog


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(changes())
def test_any_change_of_payload_or_code_is_refused_and_leaves_nothing_behind(model, tmp_path_factory, changed):
    version, place = model.get("ddpg_finetuned", 1), tmp_path_factory.mktemp("copies")
    original, kept = stored(model), place / "kept"
    shutil.copytree(original, kept)
    try:
        change(original, *changed)
        with pytest.raises(TouchlineError):
            model.download(version, place / "copy")
        assert sorted(path.name for path in place.iterdir()) == ["kept"]
    finally:
        shutil.rmtree(original)
        shutil.copytree(kept, original)
    assert directory_digest(model.download(version, place / "copy")) == version.digest


def test_a_changed_payload_is_told_with_both_digests_and_a_remedy(model, tmp_path):
    version, weights = model.get("ddpg_finetuned", 1), stored(model) / "artifacts" / "policy" / "policy.safetensors"
    before = weights.read_bytes()
    try:
        weights.write_bytes(b"\x01" + before[1:])
        found = directory_digest(weights.parent)
        with pytest.raises(TouchlineError, match=f"{found}, and {version.digest} was expected.*restore"):
            model.download(version, tmp_path / "copy")
    finally:
        weights.write_bytes(before)


def test_changed_code_does_not_run(model, tmp_path):
    code = stored(model) / "policy_model.py"
    before = code.read_text()
    try:
        code.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        with pytest.raises(TouchlineError, match="its code has the sha256 digest"):
            load_model("ddpg_finetuned@Candidate-Finetuned", model.settings)
    finally:
        code.write_text(before)
    assert not (tmp_path / "ran").exists()


def test_every_file_of_unity_catalog_is_held_against_its_digest(tmp_path, fresh_store, monkeypatch):
    with unity_catalog() as server:
        for name, value in environment_of(server).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        shutil.copy(fresh_store, tmp_path)
        home = Catalog(f"sqlite:///{tmp_path / 'mlflow.db'}", "club.models").settings
        catalog = Catalog.of(replace(home, mlflow_registry_uri="databricks-uc"))
        version = catalog.register("finetune", log_to(catalog, written_policy(tmp_path / "policy")))
        covered = [p for p in server.files if "/ddpg_finetuned/" in p and ("/policy/" in p or p.endswith(".py"))]
        assert len(covered) >= 3
        for path in covered:
            before = server.files[path]
            server.files[path] = bytes([before[0] ^ 1]) + before[1:]
            with pytest.raises(TouchlineError, match="is not what was registered"):
                catalog.download(version, tmp_path / "copy")
            server.files[path] = before
        assert directory_digest(catalog.download(version, tmp_path / "copy")) == version.digest


def tamper(catalog, version):
    file = catalog.settings.home / "plain" / version / "artifacts" / "policy" / "policy.json"
    before = file.read_text()
    file.write_text(before + " ")
    return lambda: file.write_text(before)


def test_what_was_tampered_with_becomes_no_champion_and_spends_no_attempt(catalog):
    first, second = plain_version(catalog, "first"), plain_version(catalog, "second")
    promote(catalog, claim_attempt(catalog, first, run_id="r1"), PASSED)
    mend = tamper(catalog, "second")
    with pytest.raises(TouchlineError, match="is not what was registered"):
        claim_attempt(catalog, second, run_id="r2")
    assert [entry.kind for entry in history(catalog, "ddpg_finetuned", "Champion")] == ["attempt", "promoted"]
    mend()
    attempt = claim_attempt(catalog, second, run_id="r2")
    mend = tamper(catalog, "second")
    with pytest.raises(TouchlineError, match="is not what was registered"):
        promote(catalog, attempt, PASSED)
    assert catalog.resolve("ddpg_finetuned", "Champion").version == first.version
    mend()
    promote(catalog, attempt, PASSED)
    tamper(catalog, "first")
    with pytest.raises(TouchlineError, match="is not what was registered"):
        rollback(catalog, "ddpg_finetuned", reason="It falls.", run_id="r3")
    assert catalog.resolve("ddpg_finetuned", "Champion").version == second.version
    assert history(catalog, "ddpg_finetuned", "Champion")[-1].kind == "promoted"


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        ("loader_module: mlflow.pyfunc.loaders.code_model", "loader_module: foreign"),
        ("code: null", "code: /tmp/foreign"),
        ("model_code_path:", "python_model: foreign.pkl\n    was:"),
    ],
)
def test_a_description_that_loads_by_other_code_is_refused_and_poisons_nothing(model, tmp_path, was, is_now):
    description = stored(model) / "MLmodel"
    before = description.read_text()
    assert was in before
    try:
        description.write_text(before.replace(was, is_now))
        with pytest.raises(TouchlineError, match="loads by 'mlflow.pyfunc.loaders.code_model' alone"):
            load_model("ddpg_finetuned@Candidate-Finetuned", replace(model.settings, home=tmp_path))
    finally:
        description.write_text(before)
    assert (
        load_model("ddpg_finetuned@Candidate-Finetuned", replace(model.settings, home=tmp_path)).predict is not None
    )


def test_a_model_whose_description_names_a_payload_elsewhere_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (tmp_path / "policy").mkdir()
    (model / "MLmodel").write_text("flavors: {python_function: {artifacts: {policy: {path: ../policy}}}}\n")
    with pytest.raises(TouchlineError, match="which is not in the model"):
        payload_of(model)
