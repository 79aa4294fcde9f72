"""The bundle for Databricks: written from the table of jobs, right for three clouds, and checked offline."""

from __future__ import annotations

import copy
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from touchline.cli import main
from touchline.deploy.bundle import write_bundle
from touchline.deploy.checking import check_bundle, check_resources
from touchline.deploy.clouds import CLOUDS
from touchline.deploy.config import DatabricksConfig
from touchline.deploy.databricks import command, resources
from touchline.deploy.lock import requirements, wheel_name
from touchline.errors import TouchlineError, UsageError
from touchline.jobs.base import JOBS

Change = Callable[[dict[str, Any]], None]
HOST = "https://1234.5.gcp.databricks.com"


def plain(config: DatabricksConfig) -> dict[str, Any]:
    made = resources(config)
    kinds = ("jobs", "instance_pools", "volumes")
    return {kind: {key: one.as_dict() for key, one in getattr(made, kind).items()} for kind in kinds}


def job_of(config: DatabricksConfig) -> dict[str, Any]:
    return plain(config)["jobs"]["touchline"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundles") / "gcp"
    write_bundle(directory, DatabricksConfig(), HOST)
    (directory / "dist").mkdir()
    (directory / "dist" / wheel_name()).touch()
    return directory


def test_the_name_of_the_directory_is_no_code(tmp_path: Path) -> None:
    write_bundle(directory := tmp_path / 'a"""b', DatabricksConfig(), HOST)
    compile((directory / "resources.py").read_text(), "resources.py", "exec")


@pytest.mark.parametrize("pool_minutes", [None, 0, 20])
@pytest.mark.parametrize("on_demand", [True, False])
@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_bundle_for_each_cloud_has_nothing_wrong(cloud: Any, on_demand: bool, pool_minutes: int | None) -> None:
    found = plain(DatabricksConfig(cloud=cloud, on_demand=on_demand, pool_minutes=pool_minutes))
    assert check_resources(found) == []


def test_every_job_of_the_table_is_a_task_that_waits_for_the_one_before() -> None:
    tasks = job_of(DatabricksConfig())["tasks"]
    assert [task["task_key"] for task in tasks] == list(JOBS)
    assert "depends_on" not in tasks[0]
    assert [task["depends_on"] for task in tasks[1:]] == [[{"task_key": one}] for one, _ in pairwise(JOBS)]
    config = DatabricksConfig()
    assert [task["spark_python_task"]["parameters"] for task in tasks] == [command(config, job) for job in JOBS]


@pytest.mark.parametrize(
    ("cloud", "node_type", "attributes", "availability"),
    [
        ("gcp", "g2-standard-12", "gcp_attributes", "PREEMPTIBLE_WITH_FALLBACK_GCP"),
        ("aws", "g6.4xlarge", "aws_attributes", "SPOT_WITH_FALLBACK"),
        ("azure", "Standard_NV36ads_A10_v5", "azure_attributes", "SPOT_WITH_FALLBACK_AZURE"),
    ],
)
def test_each_task_has_a_spot_machine_with_a_gpu_to_itself(
    cloud: Any, node_type: str, attributes: str, availability: str
) -> None:
    for task in job_of(DatabricksConfig(cloud=cloud, pool_minutes=0))["tasks"]:
        cluster = task["new_cluster"]
        assert (cluster["num_workers"], cluster["node_type_id"]) == (0, node_type)
        assert cluster[attributes] == {"availability": availability, "first_on_demand": 0}
        assert task["max_retries"] == 5
        assert task["min_retry_interval_millis"] == 120_000


def test_machines_wait_in_a_pool_where_pools_fall_back_to_machines_that_stay() -> None:
    found = plain(DatabricksConfig(cloud="gcp"))
    (pool,) = found["instance_pools"].values()
    assert pool["gcp_attributes"] == {"gcp_availability": "PREEMPTIBLE_WITH_FALLBACK_GCP"}
    assert (pool["idle_instance_autotermination_minutes"], pool.get("min_idle_instances")) == (15, 0)
    cluster = found["jobs"]["touchline"]["tasks"][0]["new_cluster"]
    assert cluster["instance_pool_id"] == "${resources.instance_pools.touchline.id}"
    assert "node_type_id" not in cluster
    for cloud in ("aws", "azure"):
        assert not plain(DatabricksConfig(cloud=cloud))["instance_pools"]  # type: ignore[arg-type]


def test_one_run_at_a_time_and_others_wait_while_schedule_and_mail_are_off() -> None:
    job = job_of(DatabricksConfig())
    assert (job["max_concurrent_runs"], job["queue"]) == (1, {"enabled": True})
    assert "schedule" not in job
    assert "email_notifications" not in job
    job = job_of(DatabricksConfig(schedule="0 0 2 * * ?", failure_emails=("team@example.org",)))
    assert job["schedule"] == {"quartz_cron_expression": "0 0 2 * * ?", "timezone_id": "UTC"}
    assert job["email_notifications"] == {"on_failure": ["team@example.org"]}


def test_secrets_are_named_and_checkpoints_lie_in_a_volume_that_outlives_the_bundle() -> None:
    found = plain(DatabricksConfig(secret_scope="club", catalog="arena", schema="models", volume="saves"))
    variables = found["jobs"]["touchline"]["tasks"][0]["new_cluster"]["spark_env_vars"]
    assert variables["WANDB_API_KEY"] == "{{secrets/club/WANDB_API_KEY}}"
    assert variables["TOUCHLINE_CHECKPOINTS"] == "/Volumes/arena/models/saves"
    assert variables["TOUCHLINE_CATALOG_PREFIX"] == "arena.models"
    assert variables["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    (volume,) = found["volumes"].values()
    assert (volume["catalog_name"], volume["schema_name"], volume["name"]) == ("arena", "models", "saves")
    assert volume["lifecycle"] == {"prevent_destroy": True}


def test_an_image_takes_the_place_of_libraries_and_of_the_runtime_for_machine_learning() -> None:
    found = plain(DatabricksConfig(image="ghcr.io/club/touchline:1", pool_minutes=5))
    assert check_resources(found) == []
    task = found["jobs"]["touchline"]["tasks"][0]
    assert "libraries" not in task
    assert task["new_cluster"]["docker_image"] == {"url": "ghcr.io/club/touchline:1"}
    assert "-ml-" not in task["new_cluster"]["spark_version"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cloud": "gpc"}, "no cloud 'gpc'. Did you mean 'gcp'?"),
        ({"node_type": "g2-standard-13"}, "no node type with a GPU on GCP 'g2-standard-13'. Did you mean"),
        ({"node_type": "n2-standard-8"}, "no node type with a GPU on GCP"),
        ({"secrets": ("WANDB_API_KEY=1234",)}, "no name of a variable"),
        ({"catalog": "My-Catalog"}, "catalog is 'My-Catalog'"),
        ({"retries": 0}, "retries"),
        ({"schedule": "0 2 * * *"}, "is no Quartz expression"),
        ({"image": "club/touchline:1", "runtime": "17.3.x-gpu-ml-scala2.13"}, "takes no container"),
        ({"timezone": "Europe/Berlyn"}, "no time zone 'Europe/Berlyn'. Did you mean 'Europe/Berlin'?"),
        ({"failure_emails": ("not-an-email",)}, "'not-an-email' is no e-mail address. Give some like"),
        ({"image": "re g:1"}, "'re g:1' is no container image. Give one like"),
        ({"runtime": "9.1"}, "'9.1' is no key of a Databricks Runtime. Give one like 17.3.x-gpu-ml"),
        ({"secret_scope": "my scope/"}, "'my scope/' is no name of a scope"),
        ({"project": "my/pröject"}, "'my/pröject' cannot be a project"),
        ({"project": "my-${var.x}"}, r"project is 'my-\${var.x}', and in a bundle"),
        ({"failure_emails": ("${a.b}@example.org",)}, "failure_emails is .* Give the value itself"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        DatabricksConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"timezone": "Asia/Taipei"},
        {"timezone": "GMT+8"},
        {"runtime": "16.4.x-gpu-ml-scala2.12"},
        {"image": "registry.example:5000/club/touch_line:1.2", "runtime": "15.4.x-scala2.12"},
        {"image": f"ghcr.io/club/touchline@sha256:{'0' * 64}"},
        {"project": "Club_2.b", "secret_scope": "me@example.org", "failure_emails": ("a.b+c@example.co.uk",)},
    ],
)
def test_values_as_people_have_them_are_taken(values: dict[str, Any]) -> None:
    assert check_resources(plain(DatabricksConfig(schedule="0 0 2 * * ?", **values))) == []


def test_a_machine_without_a_table_of_time_zones_takes_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    assert DatabricksConfig(timezone="Mars/Phobos").timezone == "Mars/Phobos"


def test_a_value_that_cannot_be_is_refused_in_writing_and_told_by_the_check(tmp_path: Path, capsys: Any) -> None:
    club = tmp_path / "club"
    assert main(["deploy", "databricks", str(club), "--timezone", "Mars/Phobos"]) == 2
    assert "There is no time zone 'Mars/Phobos'." in capsys.readouterr().err
    assert not club.exists()
    write_bundle(club, DatabricksConfig(), HOST)
    source = club / "resources.py"
    source.write_text(
        source.read_text().replace("    cloud='gcp',\n", "    cloud='gcp',\n    secret_scope='my scope/',\n")
    )
    assert main(["deploy", "databricks", str(club), "--check"]) == 1
    said = capsys.readouterr().out
    assert "- resources.py: 'my scope/' is no name of a scope of secrets." in said
    assert "1 to be mended" in said


def test_commands_for_a_directory_with_spaces_can_be_given_as_they_are_printed(tmp_path: Path, capsys: Any) -> None:
    club = tmp_path / "our club"
    assert main(["deploy", "databricks", str(club)]) == 0
    said = capsys.readouterr().out.splitlines()
    commands = [line.removeprefix("- ").rpartition("Make it with: ")[2] for line in said]
    (wheel,) = (shlex.split(line) for line in commands if line.startswith("pip wheel"))
    assert wheel[wheel.index("-w") + 1] == str(club / "dist")
    assert shlex.split(commands[-1])[:3] == ["cd", str(club), "&&"]
    for name in ("task.py", "databricks.yml"):
        (club / name).unlink()
    told = [problem.rpartition("Make it with: ")[2] for problem in check_bundle(club)]
    assert [shlex.split(one)[3] for one in told if one.startswith("touchline")] == [str(club), str(club)]


def tasks_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    return found["jobs"]["touchline"]["tasks"]


def set_in(path: str, value: Any) -> Change:
    def change(found: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        place: Any = found
        for parent in parents:
            place = place[int(parent)] if parent.isdecimal() else place[parent]
        place[last] = value

    return change


JOB = "jobs/touchline"
CLUSTER = f"{JOB}/tasks/1/new_cluster"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: tasks_of(found).pop(2), "No task runs convert"),
        (lambda found: tasks_of(found).append(tasks_of(found)[0]), "The task setup is there 2 times"),
        (set_in(f"{JOB}/tasks/3/depends_on", [{"task_key": "converter"}]), "waits for 'converter', which is no task"),
        (set_in(f"{JOB}/tasks/0/depends_on", [{"task_key": "submit"}]), "wait for each other in a circle"),
        (set_in(f"{JOB}/tasks/4/depends_on", [{"task_key": "setup"}]), "gate3 does not wait for finetune"),
        (set_in(f"{JOB}/max_concurrent_runs", 4), "allows 4 runs at once"),
        (set_in(f"{JOB}/queue", {}), "has no queue"),
        (set_in(f"{JOB}/tasks/1/max_retries", 0), "pretrain: it has no further attempts"),
        (set_in(f"{JOB}/tasks/1/min_retry_interval_millis", 0), "tried again at once"),
        (set_in(f"{JOB}/tasks/1/spark_python_task/parameters", ["run", "setup"]), "do not begin with run pretrain"),
        (set_in(f"{CLUSTER}/num_workers", 2), "num_workers 2"),
        (set_in(f"{CLUSTER}/node_type_id", "n2-standard-8"), "no node type with a GPU on GCP 'n2-standard-8'"),
        (set_in(f"{CLUSTER}/gcp_attributes/availability", "SPOT_WITH_FALLBACK"), "should be PREEMPTIBLE_WITH"),
        (set_in(f"{CLUSTER}/aws_attributes", {}), "described for 2 clouds"),
        (set_in(f"{CLUSTER}/instance_pool_id", "${resources.instance_pools.other.id}"), "'other' is no resource"),
        (set_in(f"{JOB}/schedule", {"timezone_id": "Mars/Phobos"}), "There is no time zone 'Mars/Phobos'"),
        (set_in(f"{JOB}/email_notifications", {"on_start": ["not-an-email"]}), "'not-an-email' is no e-mail address"),
        (set_in(f"{CLUSTER}/docker_image", {"url": "re g:1"}), "pretrain: 're g:1' is no container image"),
        (set_in(f"{CLUSTER}/spark_version", "9.1"), "pretrain: '9.1' is no key of a Databricks Runtime"),
        (
            set_in(f"{CLUSTER}/spark_env_vars/WANDB_API_KEY", "{{secrets/my scope//WANDB_API_KEY}}"),
            "WANDB_API_KEY is '{{secrets/my scope//WANDB_API_KEY}}', which refers to no secret",
        ),
        (set_in(f"{CLUSTER}/spark_env_vars/WANDB_API_KEY", "0" * 40), "WANDB_API_KEY seems to hold a secret"),
        (set_in(f"{CLUSTER}/spark_env_vars/NOTE", f"dapi{'0' * 32}"), "NOTE seems to hold a secret"),
        (set_in(f"{CLUSTER}/spark_env_vars/STORE", "postgresql://a:b@host/db"), "STORE seems to hold a secret"),
        (set_in(f"{CLUSTER}/docker_image", {"basic_auth": {"password": "b"}}), "basic_auth.password seems to hold"),
        (set_in(f"{JOB}/tasks/1/spark_python_task/parameters", ["run", "pretrain", "--token", "b"]), "3 seems to"),
    ],
)
def test_the_check_finds_what_databricks_would_not(change: Change, message: str) -> None:
    found = copy.deepcopy(plain(DatabricksConfig(pool_minutes=0)))
    change(found)
    assert any(message in problem for problem in check_resources(found)), check_resources(found)


def test_a_task_that_is_not_of_the_table_may_be_as_it_likes() -> None:
    found = copy.deepcopy(plain(DatabricksConfig()))
    worker = {"python_file": "task.py", "parameters": ["tune", "pretrain", "--storage", "${var.storage}"]}
    tasks_of(found).append({"task_key": "worker", "spark_python_task": worker, "depends_on": [{"task_key": "setup"}]})
    assert check_resources(found) == []


def test_a_bundle_has_all_its_files_and_is_checked_offline_in_a_moment(bundle: Path) -> None:
    command = [sys.executable, "-m", "touchline", "deploy", "databricks", str(bundle), "--check"]
    before = os.times()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = os.times()
    took = after.children_user + after.children_system - before.children_user - before.children_system
    assert took < 3.0, "1.2 s of processor time on an idle machine, 1.9 s beside others"
    assert HOST in (bundle / "databricks.yml").read_text()
    assert "Nothing is wrong that can be seen offline" in done.stdout
    assert {file.name for file in bundle.iterdir()} == {
        *("databricks.yml", "resources.py", "task.py", "init.sh", "requirements.txt", "dist"),
    }


def test_databricks_own_tool_loads_the_bundle_and_makes_the_same_of_it(bundle: Path, tmp_path: Path) -> None:
    """The very program that ``databricks bundle`` starts, told what the file ``databricks.yml`` says."""
    given, made, told = (tmp_path / name for name in ("input.json", "output.json", "diagnostics.json"))
    whole = yaml.safe_load((bundle / "databricks.yml").read_text())
    given.write_text(json.dumps({**whole, "bundle": {**whole["bundle"], "target": "main"}}))
    arguments = ["--phase", "load_resources", *map(str, ("--input", given, "--output", made, "--diagnostics", told))]
    subprocess.run([sys.executable, "-m", "databricks.bundles.build", *arguments], cwd=bundle, check=True)
    assert told.read_text().strip() == ""
    assert json.loads(made.read_text())["resources"] == {k: v for k, v in plain(DatabricksConfig()).items() if v}
    assert "mode" not in whole["targets"]["main"]


def test_a_bundle_is_not_replaced_by_mistake_and_keeps_its_configuration(tmp_path: Path, capsys: Any) -> None:
    (best := tmp_path / "best.toml").write_text("[pretrain]\ntotal_steps = 5000000\n")
    options = ["--cloud", "azure", "--config", str(best), "--retries", "9", "--on-demand"]
    assert main(["deploy", "databricks", str(tmp_path / "club"), *options]) == 0
    assert "pip wheel --no-deps" in capsys.readouterr().out, "the wheel is not made yet"
    text = (tmp_path / "club" / "resources.py").read_text()
    assert all(word in text for word in ("cloud='azure'", "retries=9", "on_demand=True"))
    assert "config='config.toml'" in text, "nobody else has the path that was given"
    assert "total_steps = 5000000" in (tmp_path / "club" / "config.toml").read_text()
    assert main(["deploy", "databricks", str(tmp_path / "club")]) == 2
    assert "already" in capsys.readouterr().err
    assert main(["deploy", "databricks", str(tmp_path / "club"), "--check"]) == 1, "the wheel is still missing"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("databricks.yml", "targets:\n  main:\n    mode: development\n", "mode: development"),
        ("databricks.yml", "workspace:\n  host: ''\n", "names no workspace"),
        ("databricks.yml", "python: {}\n", "does not name what makes the resources"),
        ("databricks.yml", "variables:\n  token:\n    default: {password: b}\n", "default.password seems to hold"),
        ("databricks.yml", "- a\n- {", "cannot be read"),
        ("databricks.yml", "just words", "cannot be read"),
        ("databricks.yml", "targets: [a]\nworkspace: b\npython:\n  resources:\n", "names no workspace"),
        ("config.toml", "[pretrain]\ntotal_stepps = 1\n", "total_stepps"),
    ],
)
def test_the_check_reads_what_people_have_changed(tmp_path: Path, name: str, text: str, message: str) -> None:
    (empty := tmp_path / "empty.toml").write_text("")
    write_bundle(tmp_path / "club", DatabricksConfig(config=str(empty)))
    (tmp_path / "club" / name).write_text(text)
    assert any(message in problem for problem in check_bundle(tmp_path / "club"))


@pytest.mark.parametrize("host", ["1234.5.gcp.databricks.com", "https://example.org/?o=1", "https://a b"])
def test_a_host_that_is_none_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match="no address of a workspace"):
        write_bundle(tmp_path / "club", DatabricksConfig(), host)


def test_a_place_that_takes_no_bundle_is_told(tmp_path: Path) -> None:
    (file := tmp_path / "file").touch()
    for place in (file, file / "club"):
        with pytest.raises(UsageError, match=r"bundle .* Name another"):
            write_bundle(place, DatabricksConfig())


@pytest.mark.parametrize("code", ["return None", "raise SystemExit", "return undefined", "import helper; helper.x"])
def test_resources_that_cannot_be_made_are_told_in_a_sentence(tmp_path: Path, code: str) -> None:
    write_bundle(tmp_path / "club", DatabricksConfig())
    source = tmp_path / "club" / "resources.py"
    source.write_text(source.read_text().replace("return resources(CONFIG)", code))
    with pytest.raises(TouchlineError, match="cannot be made"):
        check_bundle(tmp_path / "club")


def test_a_bundle_without_its_settings_is_told(tmp_path: Path) -> None:
    write_bundle(tmp_path / "club", DatabricksConfig())
    (tmp_path / "club" / "databricks.yml").unlink()
    assert any(problem.startswith("There is no") and "yml" in problem for problem in check_bundle(tmp_path / "club"))


def test_resources_may_have_modules_beside_them_as_where_databricks_loads_them(tmp_path: Path) -> None:
    write_bundle(tmp_path / "club", DatabricksConfig(), HOST)
    (tmp_path / "club" / "touchline_night.py").write_text("RETRIES = 0\n")
    source = tmp_path / "club" / "resources.py"
    source.write_text(
        source.read_text().replace(
            "return resources(CONFIG)",
            "import touchline_night\n    made = resources(CONFIG)\n"
            "    made.jobs['touchline'].tasks[1].max_retries = touchline_night.RETRIES\n    return made",
        )
    )
    assert any("pretrain: it has no further attempts" in problem for problem in check_bundle(tmp_path / "club"))
    assert not (tmp_path / "club" / "__pycache__").exists(), "the directory is deployed as it is"


def test_a_field_that_databricks_does_not_know_is_told_in_a_sentence(tmp_path: Path, capsys: Any) -> None:
    write_bundle(tmp_path / "club", DatabricksConfig())
    source = tmp_path / "club" / "resources.py"
    wrong = "from databricks.bundles.jobs import Job\n    return Job.from_dict({'nmae': 'x'})"
    source.write_text(source.read_text().replace("return resources(CONFIG)", wrong))
    assert main(["deploy", "databricks", str(tmp_path / "club"), "--check"]) == 1
    assert "nmae" in capsys.readouterr().err


def test_the_lock_has_every_package_once_at_the_version_that_is_installed_here() -> None:
    lines = [Requirement(line) for line in requirements().splitlines() if line[0] != "#"]
    names = [line.name for line in lines]
    assert len(names) == len(set(names))
    assert {"jax", "torch", "mlflow", "wandb", "mujoco", "sai-mujoco", "numpy", "databricks-sdk"} <= set(names)
    assert not {"pytest", "touchline", "lightning"} & set(names)
    assert next(line.extras for line in lines if line.name == "jax") == {"cuda12"}
    pinned = {line.name: str(line.specifier) for line in lines if line.name != "setuptools"}  # pip's own
    locked = Path(__file__).parents[2] / "constraints.txt"
    known = {r.name.lower().replace("_", "-"): str(r.specifier) for r in map(Requirement, _lines(locked))}
    assert {name: known.get(name) for name in pinned} == pinned


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
