"""The GraphQL answers of the stand-in for W&B: as much of each as the real SDK 0.31 reads."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from touchline.testing.wandb_backend import WandbBackend as Backend

ENTITY = "touchline"


def _viewer(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    viewer = {"id": "u1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": {"edges": []}}
    return {"viewer": viewer}


def _server_info(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    return {"serverInfo": {"cliVersionInfo": {"max_cli_version": "0.99.0"}, "latestLocalVersionInfo": None}}


def _features(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    return {"serverInfo": {"features": []}}


def _upsert(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    name = variables.get("name") or variables.get("id") or uuid.uuid4().hex[:8]
    inserted = name not in backend.runs
    run = backend.run(name)
    run.project = variables.get("project") or run.project
    run.display_name = variables.get("displayName") or run.display_name or name
    run.job_type = variables.get("jobType") or run.job_type
    run.group = variables.get("groupName") or run.group
    run.tags = variables.get("tags") or run.tags
    if variables.get("config"):
        run.config.update(json.loads(variables["config"]))
    if variables.get("summaryMetrics"):
        run.summary = json.loads(variables["summaryMetrics"])
    entity = {"id": "e1", "name": ENTITY}
    bucket = {
        "id": name,
        "name": name,
        "displayName": run.display_name,
        "description": "",
        "config": json.dumps(run.config),
        "sweepName": None,
        "project": {"id": "p1", "name": run.project, "entity": entity},
        "historyLineCount": len(run.history_lines),
    }
    return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}


def _resume_status(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    run = backend.runs.get(variables["name"])
    bucket = None
    if run is not None:
        count = backend.visible_rows(run)
        bucket = {
            "id": run.name,
            "name": run.name,
            "displayName": run.display_name,
            "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": count,
            "eventsLineCount": len(run.event_lines),
            "logLineCount": len(run.log_lines),
            "historyTail": json.dumps(run.history_lines[max(count - 1, 0) : count]),
            "eventsTail": json.dumps(run.event_lines[-1:]),
            "config": json.dumps(run.config),
            "wandbConfig": json.dumps({"t": 1}),
            "tags": run.tags,
        }
    return {"model": {"id": "p1", "name": variables["project"], "entity": {"name": ENTITY}, "bucket": bucket}}


def _create_files(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    name = variables["run"]
    files = [{"name": file, "uploadUrl": f"{backend.url}/upload/{name}/{file}"} for file in variables["files"]]
    return {"createRunFiles": {"runID": name, "uploadHeaders": [], "files": files}}


def _alert(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    alert = {key: variables.get(key) for key in ("title", "text", "severity")}
    backend.run(variables["runName"]).alerts.append(alert)
    return {"notifyScriptableRunAlert": {"success": True}}


def _create_artifact(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    values = variables["input"]
    artifact = {
        "id": f"artifact-{uuid.uuid4().hex[:8]}",
        "run": values.get("runName"),
        "name": (values.get("artifactCollectionNames") or [None])[0] or values.get("artifactCollectionName"),
        "type": values.get("artifactTypeName"),
        "digest": values.get("digest"),
        "metadata": json.loads(values.get("metadata") or "{}"),
        "aliases": [alias.get("alias") for alias in values.get("aliases") or []],
        "files": {},
        "state": "PENDING",
    }
    # As W&B does: what is there already, whichever run brought it, is the same version and gets the aliases too.
    for known in _versions(backend, artifact["name"]):
        if known["digest"] == artifact["digest"] and known["state"] == "COMMITTED":
            aliases = [*known["aliases"], *(alias for alias in artifact["aliases"] if alias not in known["aliases"])]
            known["aliases"], artifact = aliases, known
            _take_aliases(backend, known)
            break
    else:
        backend.run(str(artifact["run"])).artifacts.append(artifact)
    sequence = {"id": "s1", "latestArtifact": None}
    return {"createArtifact": {"artifact": {**_id_and_state(artifact), "artifactSequence": sequence}}}


def _versions(backend: Backend, name: str) -> list[dict[str, Any]]:
    return [artifact for run in backend.runs.values() for artifact in run.artifacts if artifact["name"] == name]


def _take_aliases(backend: Backend, artifact: dict[str, Any]) -> None:
    """An alias belongs to one version of an artifact: the others lose it, as at W&B."""
    for other in _versions(backend, artifact["name"]):
        if other is not artifact:
            other["aliases"] = [alias for alias in other["aliases"] if alias not in artifact["aliases"]]


def _id_and_state(artifact: dict[str, Any]) -> dict[str, Any]:
    return {"id": artifact["id"], "state": artifact["state"]}


def find_artifact(backend: Backend, artifact_id: str) -> dict[str, Any]:
    """What is known of an artifact, to be changed in place."""
    known = [artifact for run in backend.runs.values() for artifact in run.artifacts]
    return next(artifact for artifact in known if artifact["id"] == artifact_id)


def _artifact_by_id(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    artifact = find_artifact(backend, variables["id"])
    project = {
        "id": "p1",
        "internalId": "p1",
        "name": backend.run(artifact["run"]).project,
        "entity": {"name": ENTITY},
    }
    sequence = {"__typename": "ArtifactSequence", "name": artifact["name"], "project": project}
    aliases = [
        {"__typename": "ArtifactAlias", "id": alias, "alias": alias, "artifactCollection": sequence}
        for alias in artifact["aliases"]
    ]
    fragment = {
        "__typename": "Artifact",
        "id": artifact["id"],
        "artifactSequence": sequence,
        "versionIndex": 0,
        "artifactType": {"name": artifact["type"]},
        "description": None,
        "metadata": json.dumps(artifact["metadata"]),
        "ttlDurationSeconds": -1,
        "ttlIsInherited": True,
        "tags": [],
        "historyStep": None,
        "state": artifact["state"],
        "size": sum(map(len, artifact["files"].values())),
        "digest": artifact["digest"],
        "commitHash": "c1",
        "fileCount": len(artifact["files"]),
        "createdAt": "2026-01-01T00:00:00",
        "updatedAt": None,
        "aliases": aliases,
    }
    return {"artifact": fragment}


def _create_manifest(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    file = {
        "id": "f1",
        "name": variables["name"],
        "displayName": variables["name"],
        "uploadUrl": f"{backend.url}/artifact/{variables['artifactID']}/{variables['name']}",
        "uploadHeaders": [],
    }
    return {"createArtifactManifest": {"artifactManifest": {"id": variables["artifactID"], "file": file}}}


def _create_artifact_files(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    edges = []
    for spec in variables["input"]["artifactFiles"]:
        url = f"{backend.url}/artifact/{spec['artifactID']}/{spec['name']}"
        node = {
            "id": uuid.uuid4().hex,
            "name": spec["name"],
            "displayName": spec["name"],
            "uploadUrl": url,
            "uploadHeaders": [],
            "artifact": {"id": spec["artifactID"]},
            "storagePath": spec["name"],
            "uploadMultipartUrls": None,
        }
        edges.append({"node": node})
    return {"createArtifactFiles": {"files": {"edges": edges}}}


def _commit_artifact(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    artifact = find_artifact(backend, variables["artifactID"])
    artifact["state"] = "COMMITTED"
    _take_aliases(backend, artifact)
    return {"commitArtifact": {"artifact": {"id": artifact["id"], "digest": artifact["digest"]}}}


def _artifact_type(backend: Backend, variables: dict[str, Any]) -> dict[str, Any]:
    return {"project": None}


ANSWERS: dict[str, Callable[[Backend, dict[str, Any]], dict[str, Any]]] = {
    "Viewer": _viewer,
    "ServerInfo": _server_info,
    "ServerFeaturesQuery": _features,
    "UpsertBucket": _upsert,
    "RunResumeStatus": _resume_status,
    "CreateRunFiles": _create_files,
    "NotifyScriptableRunAlert": _alert,
    "ArtifactType": _artifact_type,
    "CreateArtifact": _create_artifact,
    "CreateArtifactManifest": _create_manifest,
    "CreateArtifactFiles": _create_artifact_files,
    "CommitArtifact": _commit_artifact,
    "ArtifactByID": _artifact_by_id,
}
