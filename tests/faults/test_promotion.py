"""A process that promotes is killed before each of its writes: the old champion stays, the ledger tells the truth."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SCRIPT = """
import json, os, signal, sys
from pathlib import Path

from mlflow.tracking import MlflowClient

from touchline.catalog import Catalog, claim_attempt, promote
from touchline.catalog.ledger import history
from tests.catalog.conftest import plain_version

STORE, MODEL = f"sqlite:///{Path(sys.argv[1]) / 'mlflow.db'}", "ddpg_finetuned"
WRITES = ("_create_model_version", "set_model_version_tag", "update_model_version", "set_registered_model_alias")


def in_a_process_of_its_own(function):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, json.dumps(function(Catalog(STORE, "club.models"))).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    assert not os.WIFSIGNALED(status) or os.WTERMSIG(status) == signal.SIGKILL, status
    return json.loads(text) if text else None


def prepare(catalog):
    attempt = claim_attempt(catalog, plain_version(catalog, "first"), run_id="first")
    return promote(catalog, attempt, {"passed": "true", "reason": "first"}).champion.version


def promote_and_die(catalog, write):
    candidate = plain_version(catalog, f"write{write}")
    attempt = claim_attempt(catalog, candidate, run_id=f"run{write}")
    left = [write]
    for name in WRITES:
        def counted(*arguments, call=getattr(MlflowClient, name), **more):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **more)
        setattr(MlflowClient, name, counted)
    promote(catalog, attempt, {"passed": "true", "reason": "better"})
    return "survived"


def look(catalog):
    entries = [[e.kind, e.run_id, e.version, e.effective] for e in history(catalog, MODEL, "Champion")]
    return {"champion": catalog.resolve(MODEL, "Champion").version, "entries": entries}


champion = in_a_process_of_its_own(prepare)
for write in range(40):
    survived = in_a_process_of_its_own(lambda catalog: promote_and_die(catalog, write))
    found = in_a_process_of_its_own(look)
    print(json.dumps({"write": write, "before": champion, "survived": survived, **found}), flush=True)
    champion = found["champion"]
    if survived:
        break
"""


@pytest.mark.slow
def test_a_promotion_killed_at_any_write_leaves_a_champion_and_an_honest_ledger(
    tmp_path: Path, fresh_store: Path
) -> None:
    (tmp_path / "mlflow.db").write_bytes(fresh_store.read_bytes())
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2_000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1]["survived"] and len(rows) > 6
    for row in rows:
        mine = [entry for entry in row["entries"] if entry[1] == f"run{row['write']}"]
        assert mine[0][0] == "attempt", "claimed before anything else"
        effective = [entry for entry in mine if entry[0] == "promoted" and entry[3]]
        assert row["champion"] == (mine[0][2] if effective else row["before"])
    outcomes = ["in vain" if row["champion"] == row["before"] else "done" for row in rows]
    assert {"in vain", "done"} == set(outcomes[:-1]), "killed on both sides of the alias"
    written = [any(e[0] == "promoted" and e[1] == f"run{row['write']}" for e in row["entries"]) for row in rows]
    assert any(w and o == "in vain" for w, o in zip(written, outcomes, strict=True)), "between ledger and alias too"
