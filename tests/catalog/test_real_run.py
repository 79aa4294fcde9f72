"""From a run's log_model, through the MLflow courier, to a model that acts: all real."""

import subprocess
import sys
from dataclasses import replace

import numpy as np

import touchline
from tests.catalog.conftest import CODE
from touchline.catalog import Catalog, directory_digest, lineage, load_model


def test_what_a_run_logged_is_registered_and_acts(settings, policy, tmp_path):
    settings = replace(settings, sinks=("mlflow",))
    code = tmp_path / "policy_model.py"
    code.write_text(CODE)
    with touchline.start_run(job="pretrain", settings=settings) as run:
        run.log_model(policy, code=code, signature={"inputs": (-1, 3), "outputs": (-1, 2)})
        assert run.wait_delivered("mlflow", 300)
        digest = directory_digest(policy)
        version = Catalog.of(settings).register("pretrain", run.mlflow_run_id, digest=digest)
    assert (version.run_id, version.digest) == (run.id, digest)
    assert list(settings.artifact_root.rglob("policy.json"))
    model = load_model("mjx_sac@Candidate-Pretrain", settings)
    np.testing.assert_array_equal(model.predict(np.zeros((2, 3), np.float32)), np.full((2, 2), 0.5, np.float32))
    titles = [node.title for node in lineage(Catalog.of(settings), "mjx_sac/1").walk()]
    assert titles == ["club.models.mjx_sac version 1 @Candidate-Pretrain", f"pretrain {run.id}"]


def test_importing_the_catalog_does_not_import_mlflow():
    script = "import sys, touchline.catalog; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
