"""What Databricks would refuse, or take and do wrong, found in a bundle without asking Databricks."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from shlex import quote
from typing import Any

import yaml
from databricks.bundles.core import Bundle, Resources

from touchline.config import overlay, read_toml
from touchline.deploy.bundle import LOADER, RESOURCES, YAML
from touchline.deploy.clouds import CLOUDS, Cloud
from touchline.deploy.databricks import FILES
from touchline.deploy.values import Check, must_be_email, must_be_image, must_be_runtime, must_be_timezone
from touchline.errors import TouchlineError, UsageError
from touchline.jobs.base import JOBS
from touchline.masking import MASK, mask_arguments, mask_environment
from touchline.recipes import find_recipe
from touchline.tuning.recipe import without_lineage

_REFERENCE = re.compile(r"\{\{secrets/[\w@.\-]+/[\w@.\-]+\}\}|\$\{[^{}]+\}")
"""To a secret, or to something else of the bundle."""
_PATH_TO_SECRET = re.compile(r"\{\{secrets/[^{}]*\}\}")
"""The same as people mistype it."""
_NO_SECRETS = frozenset({"task_key", "job_cluster_key", "environment_key", "git_commit"})
"""Databricks' own fields that only look like secrets."""
_POOL = re.compile(r"\$\{resources\.instance_pools\.(\w+)\.id\}")


def check_bundle(directory: Path) -> list[str]:
    """Return every problem of the bundle in ``directory``, as sentences with their remedies; asks no network.

    Raises UsageError where there is no bundle, and TouchlineError where its resources cannot be made, but for a value
    of their configuration, which is a problem like others.
    """
    if not (directory / RESOURCES).is_file():
        raise UsageError(
            f"There is no bundle in {directory}: {RESOURCES} is missing. Write one with: touchline deploy databricks "
            f"{quote(str(directory))} --cloud gcp"
        )
    try:
        found = _load(directory)
    except UsageError as error:  # of the configuration in it
        return [f"{RESOURCES}: {error}", *_settings(directory)]
    return [*check_resources(found), *_settings(directory), *_files(directory, found)]


def check_resources(found: Mapping[str, Any]) -> list[str]:
    """Return the problems of resources by kind and key, as ``databricks.yml`` would have them."""
    jobs: Mapping[str, Any] = found.get("jobs", {})
    ours = {key: job for key, job in jobs.items() if {task["task_key"] for task in job.get("tasks", ())} & set(JOBS)}
    if len(ours) != 1:
        return [f"{len(ours)} jobs of the bundle run jobs of touchline, and it should be one. Leave one."]
    (job,) = ours.values()
    problems = [*_graph(job["tasks"]), *_one_at_a_time(job), *_told(job), *_secrets(found)]
    for task in job["tasks"]:
        if task["task_key"] in JOBS:
            pools = found.get("instance_pools", {})
            problems += [f"The task {task['task_key']}: {told}" for told in _task(task, pools)]
    return problems


def _load(directory: Path) -> dict[str, Any]:
    """What ``load_resources`` of the bundle returns, as plain values; its fields are checked as they are made."""
    spec = importlib.util.spec_from_file_location("touchline_bundle", directory / RESOURCES)
    assert spec is not None and spec.loader is not None
    module, writes, paths = importlib.util.module_from_spec(spec), sys.dont_write_bytecode, sys.path
    sys.dont_write_bytecode = True  # the directory is deployed as it is
    sys.path = [str(directory.absolute()), *paths]  # where Databricks starts
    kinds = ("jobs", "instance_pools", "volumes")
    try:
        spec.loader.exec_module(module)
        made: Resources = module.load_resources(Bundle(target="main"))
        return {kind: {key: one.as_dict() for key, one in getattr(made, kind).items()} for kind in kinds}
    except TouchlineError:
        raise
    except (Exception, SystemExit) as error:
        raise TouchlineError(
            f"The resources of {directory / RESOURCES} cannot be made ({type(error).__name__}: {error}). Correct "
            "that; the names of fields are those of the package databricks-bundles."
        ) from error
    finally:
        sys.dont_write_bytecode, sys.path = writes, paths


def _settings(directory: Path) -> Iterator[str]:
    """What ``databricks.yml`` says of the whole bundle."""
    try:
        whole = yaml.safe_load((directory / YAML).read_text(encoding="utf-8"))
        if not isinstance(whole, Mapping):
            raise ValueError("it is no mapping")
    except FileNotFoundError:
        yield f"There is no {directory / YAML}. Make it with: {_again(directory)}"
        return
    except (OSError, ValueError, yaml.YAMLError) as error:
        yield f"{directory / YAML} cannot be read ({' '.join(str(error).split())}). Correct it."
        return
    targets = _section(whole, "targets")
    if LOADER not in (_section(whole, "python").get("resources") or ()):
        yield f"{YAML} does not name what makes the resources. Set python.resources to [{LOADER!r}]."
    if not any(_section(part, "workspace").get("host") for part in (whole, *targets.values())):
        yield f"{YAML} names no workspace, and tasks would not know theirs. Set workspace.host to its address."
    for name in targets:
        if _section(targets, name).get("mode") == "development":
            yield f"The target {name} has mode: development, which lets runs of the job overlap. Leave the mode out."
    yield from _secrets(whole)


def _again(directory: Path) -> str:
    """The command that writes the bundle's files anew."""
    return f"touchline deploy databricks {quote(str(directory))} --overwrite"


def _section(whole: Any, name: str) -> Mapping[str, Any]:
    """A part of the file, empty where it is not there or is none."""
    part = whole.get(name) if isinstance(whole, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _graph(tasks: list[dict[str, Any]]) -> Iterator[str]:
    """Every job once, after the one before it, and nothing waits for itself."""
    counts = Counter(task["task_key"] for task in tasks)
    for name, count in counts.items():
        if count > 1:
            yield f"The task {name} is there {count} times. Leave one."
    if missing := [name for name in JOBS if name not in counts]:
        yield f"No task runs {', '.join(missing)}. Add one for each, or write the bundle anew with --overwrite."
    before = {task["task_key"]: {one["task_key"] for one in task.get("depends_on", ())} for task in tasks}
    for name, needed in before.items():
        for one in sorted(needed - set(counts)):
            yield f"The task {name} waits for {one!r}, which is no task of the job. Correct its depends_on."
    try:
        tuple(TopologicalSorter(before).static_order())
    except CycleError as error:
        yield f"Tasks wait for each other in a circle: {' → '.join(reversed(error.args[1]))}. Take one out."
        return
    for earlier, later in pairwise(name for name in JOBS if name in counts):
        if earlier not in _all_before(later, before):
            yield f"The task {later} does not wait for {earlier}, whose work it takes. Add it to its depends_on."


def _all_before(name: str, before: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = before.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _one_at_a_time(job: Mapping[str, Any]) -> Iterator[str]:
    if (runs := job.get("max_concurrent_runs", 1)) != 1:
        yield f"The job allows {runs} runs at once, which would take each other's milestones. Set it to 1."
    if not job.get("queue", {}).get("enabled"):
        yield "The job has no queue, so a run that comes while another is at work is dropped. Set queue.enabled."


def _told(job: Mapping[str, Any]) -> Iterator[str]:
    """When the job runs, and who is told of it."""
    if zone := job.get("schedule", {}).get("timezone_id"):
        yield from _refused(must_be_timezone, zone)
    for addresses in job.get("email_notifications", {}).values():
        for address in addresses if isinstance(addresses, list) else ():
            yield from _refused(must_be_email, address)


def _refused(check: Check, value: str) -> Iterator[str]:
    """What a check says of a value; one that refers to another is not known here."""
    try:
        if "${" not in value:
            check(value)
    except UsageError as error:
        yield str(error)


def _task(task: Mapping[str, Any], pools: Mapping[str, Any]) -> Iterator[str]:
    program = task.get("spark_python_task", {})
    if program.get("parameters", [])[:2] != ["run", task["task_key"]]:
        yield f"its parameters {program.get('parameters')} do not begin with run {task['task_key']}."
    if not task.get("max_retries"):
        yield "it has no further attempts, so one machine that is taken back ends the run. Set max_retries."
    if not task.get("min_retry_interval_millis"):
        yield "it is tried again at once, and what fails at once uses up its attempts. Set min_retry_interval_millis."
    if not (cluster := task.get("new_cluster")):
        yield "it has no new_cluster, and each attempt needs a machine of its own."
        return
    if cluster.get("num_workers") != 0:
        yield f"its cluster has num_workers {cluster.get('num_workers')}, and a job runs on one machine. Set 0."
    if runtime := cluster.get("spark_version"):
        yield from _refused(must_be_runtime, runtime)
    if image := cluster.get("docker_image", {}).get("url"):
        yield from _refused(must_be_image, image)
    if cluster.get("docker_image") and "-ml-" in cluster.get("spark_version", ""):
        yield f"the runtime {cluster['spark_version']} takes no container. Use the one without -ml-."
    yield from _machine(cluster, pools)


def _machine(cluster: Mapping[str, Any], pools: Mapping[str, Any]) -> Iterator[str]:
    """A machine with a GPU of one cloud, in words that this cloud knows."""
    place = cluster
    if (pool_id := cluster.get("instance_pool_id")) is not None:
        if "node_type_id" in cluster:
            yield "its cluster has an instance_pool_id and a node_type_id. Leave out the latter; the pool has one."
        if (named := _POOL.fullmatch(pool_id)) is None:
            return  # a pool that is there already, of which nothing is known here
        if named[1] not in pools:
            yield f"its pool {named[1]!r} is no resource of the bundle. Correct instance_pool_id."
            return
        place = pools[named[1]]
    clouds = [cloud for cloud in CLOUDS.values() if cloud.attributes in place]
    if len(clouds) != 1:
        yield f"its machine is described for {len(clouds)} clouds. Give one of gcp_, aws_ and azure_attributes."
        return
    yield from _words(clouds[0], place, in_pool=place is not cluster)


def _words(cloud: Cloud, place: Mapping[str, Any], in_pool: bool) -> Iterator[str]:
    try:
        cloud.must_have_gpu(place.get("node_type_id", ""))
    except UsageError as error:
        yield f"{str(error)[0].lower()}{str(error)[1:]}"
    field = cloud.pool_availability if in_pool else "availability"
    availability = place[cloud.attributes].get(field)
    if availability not in (known := (cloud.pool_spot if in_pool else cloud.spot, cloud.on_demand)):
        yield f"its {field} is {availability}, and on {cloud.name} it should be {' or '.join(known)}."


def _secrets(part: Any, where: str = "") -> Iterator[str]:
    """Whatever in a part of the bundle is a secret itself instead of a reference to one."""
    if isinstance(part, Mapping):
        texts = {str(name): value for name, value in part.items() if isinstance(value, str)}
        masked = mask_environment(texts)
        seeming = [name for name, text in texts.items() if MASK in masked[name] and not _REFERENCE.fullmatch(text)]
        inner = {str(name): value for name, value in part.items() if not isinstance(value, str)}
    elif isinstance(part, list):
        texts = {str(number): value for number, value in enumerate(part) if isinstance(value, str)}
        seeming = [name for name, text in zip(texts, mask_arguments(texts.values()), strict=True) if MASK in text]
        inner = {str(number): value for number, value in enumerate(part) if not isinstance(value, str)}
    else:
        return
    for name in seeming:
        if _PATH_TO_SECRET.fullmatch(text := texts[name]):
            yield f"{where}{name} is {text!r}, which refers to no secret. Write it like {{{{secrets/SCOPE/NAME}}}}."
        elif name not in _NO_SECRETS:
            yield (
                f"{where}{name} seems to hold a secret as it is. Put it into a scope, and write "
                "{{secrets/SCOPE/NAME}} instead."
            )
    for name, value in inner.items():
        yield from _secrets(value, f"{where}{name}.")


def _files(directory: Path, found: Mapping[str, Any]) -> Iterator[str]:
    """Files of the bundle that tasks name: they are there, and the configuration fits the recipe."""
    tasks = [task for job in found["jobs"].values() for task in job.get("tasks", ())]
    for path in sorted({path for task in tasks for path in _named_files(task)}):
        if not (directory / path).is_file():
            how = (
                f"pip wheel --no-deps -w {quote(str(directory / 'dist'))} PATH/TO/TOUCHLINE"
                if path.endswith(".whl")
                else _again(directory)
            )
            yield f"There is no {directory / path}. Make it with: {how}"
    for recipe, config in sorted({_recipe(task) for task in tasks}):
        try:
            made = find_recipe(recipe)()
            if config:
                overlay(made, without_lineage(read_toml(directory / config))[0], where=config)
        except UsageError as error:
            yield str(error)


def _named_files(task: Mapping[str, Any]) -> Iterator[str]:
    named = [task.get("spark_python_task", {}).get("python_file", "")]
    named += [path for library in task.get("libraries", ()) for path in library.values() if isinstance(path, str)]
    scripts = task.get("new_cluster", {}).get("init_scripts", ())
    named += [script["workspace"]["destination"] for script in scripts if "workspace" in script]
    yield from (path.removeprefix(f"{FILES}/") for path in named if path.startswith(f"{FILES}/"))


def _recipe(task: Mapping[str, Any]) -> tuple[str, str]:
    """The recipe and the file that a task's command names."""
    given = dict(pairwise(task.get("spark_python_task", {}).get("parameters", ())))
    return given.get("--recipe", "laptop"), given.get("--config", "")
