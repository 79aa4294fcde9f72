"""The table of jobs as resources of a Databricks bundle: one job with a task for each of them, a volume, a pool.

Needs databricks-bundles. The words are those of Databricks' REST interface: jobs 2.2, clusters 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, pairwise
from typing import Any, cast

from databricks.bundles.core import Resources
from databricks.bundles.instance_pools import InstancePool
from databricks.bundles.jobs import Job
from databricks.bundles.volumes import Volume

from touchline.deploy.config import NAME, DatabricksConfig
from touchline.jobs.base import JOBS

VOLUME = "checkpoints"
FILES = "${workspace.file_path}"
"""Where a deployment has the files of the bundle."""
LOCAL = "/local_disk0/touchline"
CONFIG, INIT, LOCK, TASK = "config.toml", "init.sh", "requirements.txt", "task.py"
"""Files of the bundle."""


def resources(config: DatabricksConfig) -> Resources:
    """Return the bundle's resources: what ``databricks bundle deploy`` makes of them is in ``docs/databricks.md``."""
    made = Resources()
    made.add_job(NAME, Job.from_dict(cast(Any, job(config))))
    made.add_volume(VOLUME, Volume.from_dict(cast(Any, volume(config))))
    if config.pooled_minutes:
        made.add_instance_pool(NAME, InstancePool.from_dict(cast(Any, pool(config))))
    return made


def job(config: DatabricksConfig) -> dict[str, Any]:
    """The job: its tasks are the table's rows in their order, each after the one before.

    Two runs at once would take each other's milestones, which are found by alias, so a second one waits.
    """
    before = {later: earlier for earlier, later in pairwise(JOBS)}
    made: dict[str, Any] = {
        "name": NAME,
        "description": f"{' → '.join(JOBS)}, by the recipe {config.recipe}",
        "tasks": [task(config, name, before.get(name)) for name in JOBS],
        "max_concurrent_runs": 1,
        "queue": {"enabled": True},
        "tags": {"project": config.project},
    }
    if config.schedule:
        made["schedule"] = {"quartz_cron_expression": config.schedule, "timezone_id": config.timezone}
    if config.failure_emails:
        made["email_notifications"] = {"on_failure": list(config.failure_emails)}
    return made


def command(config: DatabricksConfig, name: str) -> list[str]:
    """The arguments of ``touchline`` for one job: the same here and there."""
    options = {"--recipe": config.recipe, "--config": config.config and CONFIG, "--seed": str(config.seed)}
    return ["run", name, *chain(*((option, value) for option, value in options.items() if value))]


def task(config: DatabricksConfig, name: str, before: str | None) -> dict[str, Any]:
    """One job as a task on a machine of its own; each attempt gets a new one."""
    made: dict[str, Any] = {
        "task_key": name,
        "description": JOBS[name].does,
        "spark_python_task": {"python_file": f"{FILES}/{TASK}", "parameters": command(config, name)},
        "new_cluster": cluster(config),
        "max_retries": config.retries,
        "min_retry_interval_millis": 1_000 * config.retry_seconds,
    }
    if before is not None:
        made["depends_on"] = [{"task_key": before}]
    if config.timeout_hours:
        made["timeout_seconds"] = round(3_600 * config.timeout_hours)
    if not config.image:
        from touchline.deploy.lock import wheel_name

        made["libraries"] = [{"requirements": f"{FILES}/{LOCK}"}, {"whl": f"{FILES}/dist/{wheel_name()}"}]
    return made


def cluster(config: DatabricksConfig) -> dict[str, Any]:
    """A single machine; on a single machine the driver trains, so it is the driver that may be taken back."""
    made: dict[str, Any] = {
        "spark_version": config.spark_version,
        "num_workers": 0,
        "spark_conf": {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*, 4]"},
        "custom_tags": {"ResourceClass": "SingleNode", "project": config.project},
        "data_security_mode": "SINGLE_USER",
        "spark_env_vars": dict(environment(config)),
    }
    if config.image:
        made["docker_image"] = {"url": config.image}
        made["spark_conf"]["spark.databricks.unityCatalog.volumes.enabled"] = "true"
    else:
        made["init_scripts"] = [{"workspace": {"destination": f"{FILES}/{INIT}"}}]
    if config.pooled_minutes:
        made["instance_pool_id"] = f"${{resources.instance_pools.{NAME}.id}}"
    else:
        availability = config.words.on_demand if config.on_demand else config.words.spot
        made["node_type_id"] = config.machine
        made[config.words.attributes] = {
            "availability": availability,
            "first_on_demand": 1 if config.on_demand else 0,
        }
    return made


def environment(config: DatabricksConfig) -> Mapping[str, str]:
    """The variables of every task. Those that hold secrets name their place only."""
    return {
        "BUNDLE_FILES": FILES,
        "DATABRICKS_HOST": "${workspace.host}",
        **{name: f"{{{{secrets/{config.secret_scope}/{name}}}}}" for name in config.secrets},
        "MLFLOW_TRACKING_URI": "databricks",
        "MLFLOW_REGISTRY_URI": "databricks-uc",
        "TOUCHLINE_HOME": LOCAL,
        "TOUCHLINE_CHECKPOINTS": config.checkpoints,
        "TOUCHLINE_PROJECT": config.project,
        "TOUCHLINE_CATALOG_PREFIX": f"{config.catalog}.{config.schema}",
        "TOUCHLINE_PREEMPTION": "off" if config.on_demand else config.cloud,
        "MUJOCO_GL": "egl",
        # JAX's default takes three quarters of the GPU's memory at once, and nothing is left for what renders.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def volume(config: DatabricksConfig) -> dict[str, Any]:
    """Where checkpoints outlive machines, and the bundle too."""
    return {
        "catalog_name": config.catalog,
        "schema_name": config.schema,
        "name": config.volume,
        "volume_type": "MANAGED",
        "comment": "Checkpoints of touchline's jobs, a directory a run",
        "lifecycle": {"prevent_destroy": True},
    }


def pool(config: DatabricksConfig) -> dict[str, Any]:
    """Machines that wait a little for the next task, so that it need not wait for a machine."""
    availability = config.words.on_demand if config.on_demand else config.words.pool_spot
    made: dict[str, Any] = {
        "instance_pool_name": NAME,
        "node_type_id": config.machine,
        "min_idle_instances": 0,
        "idle_instance_autotermination_minutes": config.pooled_minutes,
        config.words.attributes: {config.words.pool_availability: availability},
    }
    if config.image:
        made["preloaded_docker_images"] = [{"url": config.image}]
    else:
        made["preloaded_spark_versions"] = [config.spark_version]
    return made
