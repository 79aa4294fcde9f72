"""A stand-in for Unity Catalog's model registry on loopback, good enough for MLflow's own client (``databricks-uc``).

It keeps in memory what the client sends to ``/api/2.0/mlflow/unity-catalog/…``: registered models, versions, their
tags and aliases; and the versions' files, which the client uploads and fetches by signed addresses as from a
workspace with default storage. It does as the real one does where that has surprised people: aliases become lower
case, a search tells neither tags nor aliases, keys of tags with ``. , - = / :`` are refused, tags are bounded in
number and length, a name has three levels in lower case. It knows no permissions and no tracking: runs belong into a
store of their own.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from touchline.testing.loopback import LoopbackHandler, LoopbackServer

__all__ = ["TOKEN", "UnityCatalog", "environment_of", "unity_catalog"]

TOKEN = "dapi-stand-in"
MOST_TAGS, LONGEST_KEY, LONGEST_VALUE = 50, 255, 255
"""Bounds of the real one; its documentation has named 255, 256 and 1,000 for a value at different times."""
PAGE = 100
"""Versions that one answer of a search holds."""
_RESERVED = re.compile(r"[.,\-=/:]")
_NAME = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+\.[a-z0-9_-]+")
_PREFIX = "/api/2.0/mlflow/unity-catalog/"
_DIRECTORIES = "/api/2.0/fs/directories/"
_FILES = "/signed/"


@dataclass
class Version:
    """A version of a registered model."""

    number: int
    source: str
    run_id: str
    description: str
    tags: dict[str, str]
    status: str = "PENDING_REGISTRATION"
    created: int = field(default_factory=lambda: int(time.time() * 1000))


@dataclass
class RegisteredModel:
    """A registered model."""

    name: str
    versions: dict[int, Version] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    last: int = 0


class Refused(Exception):
    """A request that gets an error: HTTP status, MLflow's error code, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class UnityCatalog(LoopbackServer):
    """The server; ``environment_of`` says how a client finds it."""

    def __init__(self) -> None:
        """Bind a free port; ``start`` begins to answer."""
        self.models: dict[str, RegisteredModel] = {}
        self.files: dict[str, bytes] = {}
        """The versions' files by path, such as ``Models/club/models/walker/1/MLmodel``."""
        self.requests: list[str] = []
        self.denied: dict[str, str] = {}
        """Privileges that the user lacks, by the call that needs them, such as ``registered-models/alias``."""
        self.token_lasts: int | None = None
        """Requests that the token is still good for; None: it does not end."""
        self.lock = threading.RLock()
        super().__init__(type("Handler", (_Handler,), {"catalog": self}))

    def deny(self, call: str, privilege: str) -> None:
        """Refuse a call, such as ``registered-models/alias``, for want of a privilege, such as ``MANAGE``."""
        self.denied[call] = privilege

    def expire(self, after: int = 0) -> None:
        """Let the token end after so many further requests."""
        self.token_lasts = after

    def renew(self) -> None:
        """Make the token good again, as a new one would be."""
        self.token_lasts = None

    def admit(self, authorization: str | None) -> None:
        """Raise Refused unless a request shows a token that is good; it counts as a request."""
        with self.lock:
            if authorization != f"Bearer {TOKEN}":
                raise Refused(401, "UNAUTHENTICATED", "The token is not the stand-in's.")
            if self.token_lasts == 0:
                raise Refused(403, "403", "Invalid access token.")
            if self.token_lasts is not None:
                self.token_lasts -= 1

    def answer(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer one request for JSON; raises Refused."""
        with self.lock:
            self.requests.append(f"{method} {path}")
            if path.startswith(_PREFIX):
                name = path.removeprefix(_PREFIX)
                if method != "GET" and (privilege := self.denied.get(name)) is not None:
                    raise Refused(403, "PERMISSION_DENIED", f"User does not have {privilege} on Registered Model.")
                if (call := _CALLS.get((method, name))) is not None:
                    return call(self, body)
            elif path.startswith(_DIRECTORIES):
                return self._listed(path.removeprefix(_DIRECTORIES).strip("/"))
            elif path.startswith("/api/2.0/fs/create-"):
                return {"url": f"{self.url}{_FILES}{urllib.parse.quote(body['path'].strip('/'))}", "headers": []}
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"The stand-in knows no {method} {path}.")

    def model(self, body: dict[str, Any]) -> RegisteredModel:
        """The registered model that a request names."""
        name = str(body["name"])
        if name not in self.models:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Routine or Model '{name}' does not exist.")
        return self.models[name]

    def version(self, body: dict[str, Any]) -> Version:
        """The version that a request names."""
        model, number = self.model(body), int(body["version"])
        if number not in model.versions:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Model version {number} of {model.name} does not exist.")
        return model.versions[number]

    def _listed(self, directory: str) -> dict[str, Any]:
        below = [path.removeprefix(f"{directory}/") for path in self.files if path.startswith(f"{directory}/")]
        if not below:
            raise Refused(404, "NOT_FOUND", f"There is no directory /{directory}.")
        names = sorted({(path.partition("/")[0], "/" in path) for path in below})
        return {
            "contents": [
                {"path": f"/{directory}/{name}", "is_directory": True}
                if is_directory
                else {"path": f"/{directory}/{name}", "file_size": len(self.files[f"{directory}/{name}"])}
                for name, is_directory in names
            ]
        }


@contextmanager
def unity_catalog() -> Iterator[UnityCatalog]:
    """Serve the stand-in on loopback."""
    server = UnityCatalog()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def environment_of(server: UnityCatalog) -> dict[str, str]:
    """The variables with which MLflow's client finds ``server``, and asks nobody else first."""
    return {
        "DATABRICKS_HOST": server.url,
        "DATABRICKS_TOKEN": TOKEN,
        "DATABRICKS_AUTH_TYPE": "pat",
        "MLFLOW_REGISTRY_URI": "databricks-uc",
    }


def _create_model(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    name = str(body["name"])
    if not _NAME.fullmatch(name):
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"'{name}': specify all three levels, in lower case.")
    if name in catalog.models:
        raise Refused(400, "RESOURCE_ALREADY_EXISTS", f"Model '{name}' already exists.")
    catalog.models[name] = RegisteredModel(name, tags=_tags({}, body.get("tags", [])))
    return {"registered_model": _model_json(catalog.models[name])}


def _delete_model(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    del catalog.models[catalog.model(body).name]
    return {}


def _tag_model(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    model = catalog.model(body)
    model.tags = _tags(model.tags, [body])
    return {}


def _create_version(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    model, tags = catalog.model(body), _tags({}, body.get("tags", []))
    model.last += 1
    made = Version(model.last, body.get("source", ""), body.get("run_id", ""), body.get("description", ""), tags)
    model.versions[made.number] = made
    return {"model_version": _version_json(model, made)}


def _finalize(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    model, version = catalog.model(body), catalog.version(body)
    place = f"Models/{model.name.replace('.', '/')}/{version.number}/"
    if f"{place}MLmodel" not in catalog.files:
        raise Refused(400, "INVALID_PARAMETER_VALUE", "The version has no file MLmodel.")
    version.status = "READY"
    return {"model_version": _version_json(model, version)}


def _search_versions(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    """Newest first, page by page, without tags and aliases."""
    found = re.fullmatch(r"\s*name\s*=\s*'([^']+)'\s*", body.get("filter", ""))
    if found is None:
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"Unsupported filter {body.get('filter')!r}.")
    if found[1] not in catalog.models:
        return {}
    model, start = catalog.models[found[1]], int(body.get("page_token") or 0)
    numbers = sorted(model.versions, reverse=True)
    page = numbers[start : start + PAGE]
    told = [_version_json(model, model.versions[number]) for number in page]
    answer: dict[str, Any] = {
        "model_versions": [{k: v for k, v in one.items() if k not in ("tags", "aliases")} for one in told]
    }
    if start + PAGE < len(numbers):
        answer["next_page_token"] = str(start + PAGE)
    return answer


def _set_alias(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    catalog.model(body).aliases[str(body["alias"]).lower()] = catalog.version(body).number
    return {}


def _delete_alias(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    catalog.model(body).aliases.pop(str(body["alias"]).lower(), None)
    return {}


def _by_alias(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    model, alias = catalog.model(body), str(body["alias"]).lower()
    if alias not in model.aliases:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Alias '{alias}' does not exist.")
    return {"model_version": _version_json(model, model.versions[model.aliases[alias]])}


def _tag_version(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    version = catalog.version(body)
    version.tags = _tags(version.tags, [body])
    return {}


def _delete_version(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    model, version = catalog.model(body), catalog.version(body)
    del model.versions[version.number]
    model.aliases = {alias: number for alias, number in model.aliases.items() if number != version.number}
    return {}


def _update_version(catalog: UnityCatalog, body: dict[str, Any]) -> dict[str, Any]:
    version = catalog.version(body)
    version.description = str(body.get("description", ""))
    return {"model_version": _version_json(catalog.model(body), version)}


def _tags(known: dict[str, str], added: list[dict[str, str]]) -> dict[str, str]:
    tags = {**known, **{tag["key"]: tag.get("value", "") for tag in added}}
    for key, value in tags.items():
        if _RESERVED.search(key):
            raise Refused(
                400,
                "INVALID_PARAMETER_VALUE",
                f"Tag name {key} contains one or more of the reserved characters: List(., ,, -, =, /, :)",
            )
        if len(key) > LONGEST_KEY or len(value) > LONGEST_VALUE:
            raise Refused(400, "INVALID_PARAMETER_VALUE", f"The tag {key} is too long.")
    if len(tags) > MOST_TAGS:
        raise Refused(400, "INVALID_PARAMETER_VALUE", f"No more than {MOST_TAGS} tags.")
    return tags


def _model_json(model: RegisteredModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "aliases": [{"alias": alias, "version": str(number)} for alias, number in model.aliases.items()],
        "tags": [{"key": key, "value": value} for key, value in model.tags.items()],
    }


def _version_json(model: RegisteredModel, version: Version) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": str(version.number),
        "creation_timestamp": version.created,
        "description": version.description,
        "source": version.source,
        "run_id": version.run_id,
        "status": version.status,
        "tags": [{"key": key, "value": value} for key, value in version.tags.items()],
        "aliases": [{"alias": a, "version": str(n)} for a, n in model.aliases.items() if n == version.number],
    }


_CALLS: dict[tuple[str, str], Callable[[UnityCatalog, dict[str, Any]], dict[str, Any]]] = {
    ("POST", "registered-models/create"): _create_model,
    ("DELETE", "registered-models/delete"): _delete_model,
    ("GET", "registered-models/get"): lambda catalog, body: {"registered_model": _model_json(catalog.model(body))},
    ("POST", "registered-models/set-tag"): _tag_model,
    ("GET", "registered-models/search"): lambda catalog, _: {
        "registered_models": [{"name": name} for name in catalog.models]
    },
    ("POST", "registered-models/alias"): _set_alias,
    ("DELETE", "registered-models/alias"): _delete_alias,
    ("GET", "registered-models/alias"): _by_alias,
    ("GET", "registered-models:is-databricks-sdk-models-artifact-repository-enabled"): lambda *_: {},
    ("POST", "model-versions/create"): _create_version,
    ("POST", "model-versions/finalize"): _finalize,
    ("POST", "model-versions/generate-temporary-credentials"): lambda *_: {
        "credentials": {"storage_mode": "DEFAULT_STORAGE"}
    },
    ("GET", "model-versions/get"): lambda catalog, body: {
        "model_version": _version_json(catalog.model(body), catalog.version(body))
    },
    ("GET", "model-versions/search"): _search_versions,
    ("POST", "model-versions/set-tag"): _tag_version,
    ("PATCH", "model-versions/update"): _update_version,
    ("DELETE", "model-versions/delete"): _delete_version,
}


class _Handler(LoopbackHandler):
    catalog: ClassVar[UnityCatalog]

    def do_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        if path == "/.well-known/databricks-config":
            self._send(200, {})
            return
        if path.startswith(_FILES):
            self._file(urllib.parse.unquote(path.removeprefix(_FILES)), body)
            return
        asked = {key: values[-1] for key, values in urllib.parse.parse_qs(query).items()}
        try:
            self.catalog.admit(self.headers.get("Authorization"))
            self._send(200, self.catalog.answer(self.command, path, asked | (json.loads(body) if body else {})))
        except Refused as refused:
            self._send(refused.status, {"error_code": refused.code, "message": refused.message})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any

    def _file(self, path: str, body: bytes) -> None:
        with self.catalog.lock:
            if self.command == "PUT":
                self.catalog.files[path] = body
                self._send(200, b"")
            elif path in self.catalog.files:
                self._send(200, self.catalog.files[path])
            else:
                self._send(404, b"")

    def _send(self, status: int, answer: dict[str, Any] | bytes) -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if answer is data else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
