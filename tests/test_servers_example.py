"""examples/servers holds together, and what its files say is what PostgreSQL and MLflow take."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from sqlalchemy.engine import make_url

from touchline.testing.mlflow_server import lack, mlflow_process, postgresql

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "servers"
COMPOSE: dict[str, Any] = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
ONCE = {"bucket", "copy"}
"""Services that do one thing and end."""
FILLED = {
    "SERVER_NAME": "servers.example",
    "MLFLOW_ADMIN_PASSWORD": "admins-long-password",
    "MLFLOW_SECRET_KEY": "a-key-that-outlives-restarts-0001",
    "MLFLOW_DATABASE_PASSWORD": "mlflows-password",
    "MLFLOW_WORKERS": "1",
    "POSTGRES_PASSWORD": "superusers-password",
    "TUNER_PASSWORD": "tuners-password",
    "OBJECTS_KEY": "objects-key",
    "OBJECTS_SECRET": "objects-secret",
}


def settings_of(path: Path) -> dict[str, str]:
    """The variables of an .env file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def filled(text: str) -> str:
    """A text of the compose file as Compose would read it."""
    return VARIABLE.sub(lambda found: FILLED.get(found[1]) or found[3] or "", text)


def test_every_image_and_package_is_pinned_and_mlflow_is_the_one_that_is_tested() -> None:
    for name, service in SERVICES.items():
        assert re.search(r":v?\d+\.\d+", service["image"]), name
    docker = (EXAMPLE / "Dockerfile").read_text()
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-", docker, re.MULTILINE)
    pins = dict(re.findall(r"([\w-]+)(?:\[\w+\])?==([\d.]+)", docker))
    tested = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert {name: pins[name] for name in ("mlflow", "psycopg2-binary")} == {
        name: tested[name] for name in ("mlflow", "psycopg2-binary")
    }
    assert SERVICES["mlflow"]["image"].endswith(f":{pins['mlflow']}")


def test_every_variable_is_in_the_example_with_the_same_default_and_secrets_have_none() -> None:
    text = (EXAMPLE / "compose.yaml").read_text()
    used: dict[str, set[str]] = {}
    for name, kind, default in VARIABLE.findall(text):
        if kind:
            used.setdefault(name, set()).add(default)
        else:
            used.setdefault(name, set())
    example = settings_of(EXAMPLE / ".env.example")
    assert set(used) == set(example)
    for name, defaults in used.items():
        assert defaults == {example[name]}, name
    assert {name for name in example if "PASSWORD" in name or "SECRET" in name} <= {
        name for name, value in example.items() if not value
    }


def test_no_secret_stands_in_a_file() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY", variable):
                assert VARIABLE.fullmatch(value), (name, variable)
    words = " ".join(str(word) for service in SERVICES.values() for word in service.get("command", ()))
    assert not re.search(r"PASSWORD|SECRET|KEY|://\w+:", words)
    assert not re.search(r"password\s*=|://\w+:", (EXAMPLE / "auth.ini").read_text())


def test_every_service_says_whether_it_is_well_and_is_waited_for() -> None:
    for name, service in SERVICES.items():
        assert ("healthcheck" in service) != (name in ONCE), name
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how == {"condition": wanted}, (name, other)


def test_what_is_kept_lies_in_named_volumes_and_what_is_mounted_exists() -> None:
    named = set()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source, _, rest = filled(volume).partition(":")
            if source.startswith("."):
                is_of_ours = (EXAMPLE / source).is_file() and rest.endswith(":ro")
                assert is_of_ours or source == "./backups", (name, volume)
            else:
                named.add(source)
    assert named == set(COMPOSE["volumes"]) == {"certificates", "database", "objects"}


def test_services_reach_each_other_by_the_names_that_they_use_and_only_tls_and_studies_are_published() -> None:
    told = {name: json.dumps([s.get("command"), s.get("environment")]) for name, s in SERVICES.items()}
    told["tls"] += (EXAMPLE / "Caddyfile").read_text()
    told["mlflow"] += (EXAMPLE / "auth.ini").read_text()
    reached = set()
    for name, text in told.items():
        for host in re.findall(r"(?:://(?:\w+@)?|reverse_proxy )([a-z]+)(?=[:/])", text):
            if host in ("s3", "mlflow") and f"s3://{host}" in text:  # a bucket
                continue
            assert set(SERVICES[name]["networks"]) & set(SERVICES[host]["networks"]), (name, host)
            reached.add(host)
    assert reached == {"mlflow", "database", "objects"}
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"tls", "database"}
    assert filled(SERVICES["database"]["ports"][0]).startswith("127.0.0.1:")


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    told = tmp_path / "env"
    told.write_text("".join(f"{name}={value}\n" for name, value in FILLED.items()))
    command = ["docker", "compose", "--env-file", str(told), "--file", str(EXAMPLE / "compose.yaml"), "config"]
    done = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Databases:
    """PostgreSQL as databases.sh leaves it."""

    directory: Path
    port: int

    @property
    def inside(self) -> dict[str, str]:
        """Variables for programs that run where its socket is, as in its container."""
        return {**os.environ, "PGHOST": str(self.directory), "PGPORT": str(self.port)}

    def connect(self, user: str, database: str, **more: str) -> Any:
        told = {"password": FILLED.get(f"{user.upper()}_DATABASE_PASSWORD") or FILLED["TUNER_PASSWORD"], **more}
        return psycopg2.connect(host="127.0.0.1", port=self.port, user=user, dbname=database, **told)


@pytest.fixture(scope="module")
def databases() -> Iterator[Databases]:
    if told := lack() or next((f"{name} is missing" for name in ("psql", "openssl") if not shutil.which(name)), ""):
        pytest.skip(told)
    with tempfile.TemporaryDirectory(prefix="touchline-servers-") as place:
        directory = Path(place)
        with postgresql(directory, superuser="postgres") as uri:
            made = Databases(directory, make_url(uri).port or 0)
            data = directory / "data"
            environment = {**made.inside, **FILLED, "PGDATA": str(data), "POSTGRES_USER": "postgres"}
            script = (EXAMPLE / "databases.sh").read_bytes()  # the account may not read where it lies
            done = subprocess.run(
                ["bash", "-s"], input=script, env=environment, user=data.stat().st_uid, cwd=data, capture_output=True
            )
            assert done.returncode == 0, done.stderr
            reload = ["psql", "--username=postgres", "--command=SELECT pg_reload_conf()", "postgres"]
            subprocess.run(reload, env=made.inside, check=True, capture_output=True)
            yield made


def test_each_database_has_a_user_of_its_own_and_takes_passwords_over_tls_alone(databases: Databases) -> None:
    trusted = str(databases.directory / "data" / "server.crt")
    for user, database in (("mlflow", "mlflow"), ("tuner", "studies")):
        databases.connect(user, database, sslmode="verify-ca", sslrootcert=trusted).close()
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        databases.connect("tuner", "studies", password="another")
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        databases.connect("tuner", "studies", sslmode="disable")
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        databases.connect("tuner", "mlflow")


def request(
    url: str, path: str, user: str = "", headers: Mapping[str, str] | None = None, version: str = "2.0", **body: Any
) -> tuple[int, Any]:
    """Ask MLflow as Caddy does for a browser or a client: GET where there is no body."""
    told = {"Host": FILLED["SERVER_NAME"], "Content-Type": "application/json", **(headers or {})}
    if user:
        told["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    data = json.dumps(body).encode() if body else None
    try:
        asked = urllib.request.Request(f"{url}/api/{version}/mlflow/{path}", data=data, headers=told)
        with urllib.request.urlopen(asked, timeout=300.0) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def answered_by_caddy() -> dict[str, Any]:
    """What Caddy says of the server instead of MLflow, to browsers and to clients."""
    text = (EXAMPLE / "Caddyfile").read_text()
    assert "@info path /api/3.0/mlflow/server-info /ajax-api/3.0/mlflow/server-info\n" in text
    told: dict[str, Any] = json.loads(text.partition("respond @info `")[2].partition("`")[0])
    return told


def test_mlflow_starts_as_the_file_says_and_lets_in_whom_it_should(databases: Databases, tmp_path: Path) -> None:
    pytest.importorskip("flask_wtf")
    service = SERVICES["mlflow"]
    at = f"@127.0.0.1:{databases.port}/"
    program, *command = [filled(word).replace("@database/", at) for word in service["command"]]
    assert program == "mlflow" and command.pop(0) == "server"
    command = [word.replace("s3://mlflow", str(tmp_path / "artifacts")) for word in command]
    (tmp_path / "auth.ini").write_text((EXAMPLE / "auth.ini").read_text().replace("@database/", at))
    environment = {name: filled(value) for name, value in service["environment"].items()}
    environment["MLFLOW_AUTH_CONFIG_PATH"] = str(tmp_path / "auth.ini")
    admin = f"admin:{FILLED['MLFLOW_ADMIN_PASSWORD']}"
    with mlflow_process(tmp_path / "server", command, environment) as url:
        assert request(url, "experiments/search", max_results=1)[0] == 401
        for user in ("anna", "ben"):
            assert request(url, "users/create", admin, username=user, password=f"{user}s-long-password")[0] == 200
        anna, ben = "anna:annas-long-password", "ben:bens-long-password"
        status, made = request(url, "experiments/create", anna, name="hers")
        assert status == 200
        assert request(url, "runs/create", ben, experiment_id=made["experiment_id"])[0] == 403
        page = {"Origin": f"https://{FILLED['SERVER_NAME']}"}
        assert request(url, "runs/create", anna, page, experiment_id=made["experiment_id"])[0] == 200
        foreign = {"Origin": "https://elsewhere.example"}
        assert request(url, "runs/create", anna, foreign, experiment_id=made["experiment_id"])[0] == 403
        assert request(url, "experiments/search", anna, {"Host": "elsewhere.example"}, max_results=1)[0] == 403
        # Only in whether clients may go to the object store itself does Caddy answer otherwise than MLflow.
        _, own = request(url, "server-info", anna, version="3.0")
        told, direct = answered_by_caddy(), [name for name in own if name.startswith(("multipart_", "presigned_"))]
        assert len(direct) == 4 and not any(told[name] for name in direct)
        assert told == {**own, **dict.fromkeys(direct, False)}
    with databases.connect("mlflow", "mlflow") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM runs)")
        assert cursor.fetchone() == (3, 1)
    log = (tmp_path / "server" / "mlflow.log").read_text()
    assert not [name for name, value in FILLED.items() if len(value) > 1 and name != "SERVER_NAME" and value in log]


DOCKER = """#!/bin/sh
# Compose, as far as the scripts ask: programs of the database run where its socket is.
case "$2 $3 $4" in
"exec -T database") shift 4; exec "$@" ;;
esac
echo "$@" >>"$CALLS"
"""


def test_a_backup_brings_back_what_was_lost_with_its_owner_and_permissions(
    databases: Databases, tmp_path: Path
) -> None:
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    environment = {**databases.inside, "BACKUPS": str(tmp_path / "saved"), "CALLS": str(tmp_path / "calls")}
    environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"

    def script(name: str) -> None:
        done = subprocess.run(["sh", str(EXAMPLE / name)], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    with databases.connect("tuner", "studies") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE trials AS SELECT i AS number FROM generate_series(1, 1000) i")
    connection.close()
    script("backup.sh")
    with databases.connect("tuner", "studies") as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE trials; CREATE TABLE later (number int)")
    connection.close()
    script("restore.sh")
    with databases.connect("tuner", "studies") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*), sum(number) FROM trials")
        assert cursor.fetchone() == (1000, 500500)
        cursor.execute("SELECT relname, relowner::regrole::text FROM pg_class WHERE relname IN ('trials', 'later')")
        assert cursor.fetchall() == [("trials", "tuner")]
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        databases.connect("mlflow", "studies", password=FILLED["MLFLOW_DATABASE_PASSWORD"])
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "compose run --rm -T copy copy objects:mlflow /backups/artifacts"
    assert calls[-2:] == ["compose run --rm -T copy copy /backups/artifacts objects:mlflow", "compose up --detach"]
