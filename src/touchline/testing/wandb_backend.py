"""A W&B server on loopback, good enough for the real SDK: for tests without a network and without an account.

It keeps what arrives in memory: history rows, summaries, configs, alerts, files, artifacts, final states. Like the
real service it deduplicates nothing by itself; it reports a run's tail, from which the SDK drops older steps.
"""

from __future__ import annotations

import base64
import json
import re
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

API_KEY = "0123456789abcdef0123456789abcdef01234567"
"""A key of the right form; the backend takes it and refuses every other."""
ENTITY = "touchline"


@dataclass
class BackendRun:
    """What the server knows of one run."""

    name: str
    project: str = ""
    display_name: str = ""
    job_type: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    history_lines: list[str] = field(default_factory=list)
    event_lines: list[str] = field(default_factory=list)
    log_lines: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None
    complete: bool = False

    @property
    def history(self) -> list[dict[str, Any]]:
        """The history rows, decoded, in the order of arrival."""
        return [json.loads(line) for line in self.history_lines]


class WandbBackend:
    """The server; ``url`` goes to WANDB_BASE_URL and ``API_KEY`` to WANDB_API_KEY."""

    def __init__(self) -> None:
        """Bind a free port; ``start`` begins to answer."""
        self.runs: dict[str, BackendRun] = {}
        self.operations: list[str] = []
        self.fail_with: int | None = None
        """An HTTP status that every request gets instead of an answer, to play an outage."""
        self.fail_operations: dict[str, int] = {}
        """HTTP statuses that single GraphQL operations get instead of an answer."""
        self._lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"backend": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Base URL of the server."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()

    def run(self, name: str) -> BackendRun:
        """The run with the id ``name``, created when it is not known."""
        with self._lock:
            return self.runs.setdefault(name, BackendRun(name))

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer one GraphQL request."""
        operation = _operation(query)
        with self._lock:
            self.operations.append(operation)
            answer = _ANSWERS.get(operation)
            return answer(self, variables) if answer else {}

    def stream(self, name: str, body: dict[str, Any]) -> None:
        """Take a file-stream request: lines written at an offset, as the real service does."""
        with self._lock:
            run = self.run(name)
            for file, chunk in (body.get("files") or {}).items():
                lines = {
                    "wandb-history.jsonl": run.history_lines,
                    "wandb-events.jsonl": run.event_lines,
                    "output.log": run.log_lines,
                }.get(file)
                if lines is not None:
                    offset = chunk["offset"]
                    lines[offset : offset + len(chunk["content"])] = chunk["content"]
                elif file == "wandb-summary.json" and chunk["content"]:
                    run.summary = json.loads(chunk["content"][-1])
            if body.get("complete") is not None:
                run.complete = bool(body["complete"])
            if body.get("exitcode") is not None:
                run.exit_code = int(body["exitcode"])


def _operation(query: str) -> str:
    match = re.search(r"(?:query|mutation)\s+(\w+)", query)
    return match.group(1) if match else ""


@contextmanager
def wandb_backend() -> Iterator[WandbBackend]:
    """Serve a backend for the duration of a ``with`` block."""
    backend = WandbBackend()
    backend.start()
    try:
        yield backend
    finally:
        backend.stop()


def _viewer(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    viewer = {"id": "u1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": {"edges": []}}
    return {"viewer": viewer}


def _server_info(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    return {"serverInfo": {"cliVersionInfo": {"max_cli_version": "0.99.0"}, "latestLocalVersionInfo": None}}


def _features(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    return {"serverInfo": {"features": []}}


def _upsert(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    name = variables.get("name") or variables.get("id") or uuid.uuid4().hex[:8]
    inserted = name not in backend.runs
    run = backend.run(name)
    run.project = variables.get("project") or run.project
    run.display_name = variables.get("displayName") or run.display_name or name
    run.job_type = variables.get("jobType") or run.job_type
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


def _resume_status(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    run = backend.runs.get(variables["name"])
    bucket = None
    if run is not None:
        bucket = {
            "id": run.name,
            "name": run.name,
            "displayName": run.display_name,
            "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": len(run.history_lines),
            "eventsLineCount": len(run.event_lines),
            "logLineCount": len(run.log_lines),
            "historyTail": json.dumps(run.history_lines[-1:]),
            "eventsTail": json.dumps(run.event_lines[-1:]),
            "config": json.dumps(run.config),
            "wandbConfig": json.dumps({"t": 1}),
            "tags": run.tags,
        }
    return {"model": {"id": "p1", "name": variables["project"], "entity": {"name": ENTITY}, "bucket": bucket}}


def _create_files(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    name = variables["run"]
    files = [{"name": file, "uploadUrl": f"{backend.url}/upload/{name}/{file}"} for file in variables["files"]]
    return {"createRunFiles": {"runID": name, "uploadHeaders": [], "files": files}}


def _alert(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    alert = {key: variables.get(key) for key in ("title", "text", "severity")}
    backend.run(variables["runName"]).alerts.append(alert)
    return {"notifyScriptableRunAlert": {"success": True}}


def _create_artifact(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    values = variables["input"]
    artifact = {
        "id": f"artifact-{uuid.uuid4().hex[:8]}",
        "run": values.get("runName"),
        "name": (values.get("artifactCollectionNames") or [None])[0] or values.get("artifactCollectionName"),
        "type": values.get("artifactTypeName"),
        "digest": values.get("digest"),
        "aliases": [alias.get("alias") for alias in values.get("aliases") or []],
        "files": {},
        "state": "PENDING",
    }
    backend.run(str(artifact["run"])).artifacts.append(artifact)
    answer = {"id": artifact["id"], "state": "PENDING", "artifactSequence": {"id": "s1", "latestArtifact": None}}
    return {"createArtifact": {"artifact": answer}}


def _artifact(backend: WandbBackend, artifact_id: str) -> dict[str, Any]:
    known = [artifact for run in backend.runs.values() for artifact in run.artifacts]
    return next(artifact for artifact in known if artifact["id"] == artifact_id)


def _create_manifest(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    file = {
        "id": "f1",
        "name": variables["name"],
        "displayName": variables["name"],
        "uploadUrl": f"{backend.url}/artifact/{variables['artifactID']}/{variables['name']}",
        "uploadHeaders": [],
    }
    return {"createArtifactManifest": {"artifactManifest": {"id": variables["artifactID"], "file": file}}}


def _create_artifact_files(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
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


def _commit_artifact(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    artifact = _artifact(backend, variables["artifactID"])
    artifact["state"] = "COMMITTED"
    return {"commitArtifact": {"artifact": {"id": artifact["id"], "digest": artifact["digest"]}}}


def _artifact_type(backend: WandbBackend, variables: dict[str, Any]) -> dict[str, Any]:
    return {"project": None}


_ANSWERS: dict[str, Callable[[WandbBackend, dict[str, Any]], dict[str, Any]]] = {
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
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent where a client hangs up, which killed couriers do; tell everything else."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    backend: ClassVar[WandbBackend]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if self._refused(self.path.startswith("/graphql")):
            return
        if self.path == "/graphql":
            request = json.loads(body)
            status = self.backend.fail_operations.get(_operation(request["query"]))
            if status is not None:
                self._answer({"errors": [{"message": "played failure"}]}, status)
                return
            self._answer({"data": self.backend.graphql(request["query"], request.get("variables") or {})})
        elif match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
            self.backend.stream(match.group(1), json.loads(body))
            self._answer({"exitcode": None, "limits": {}})
        else:
            self._answer({}, 404)

    def do_PUT(self) -> None:
        body = self._body()
        if self._refused(False):
            return
        kind, _, rest = self.path.removeprefix("/").partition("/")
        owner, _, name = rest.partition("/")
        if kind == "upload":
            self.backend.run(owner).files[name] = body
        elif kind == "artifact":
            _artifact(self.backend, owner)["files"][name] = body
        self._answer({})

    def do_GET(self) -> None:
        if not self._refused(False):
            self._answer({})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _refused(self, wants_key: bool) -> bool:
        if self.backend.fail_with is not None:
            self._answer({"error": "played outage"}, self.backend.fail_with)
            return True
        expected = "Basic " + base64.b64encode(f"api:{API_KEY}".encode()).decode()
        if wants_key and self.headers.get("Authorization") != expected:
            self._answer({"error": "bad key"}, 401)
            return True
        return False

    def _answer(self, body: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""
