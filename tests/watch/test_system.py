import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.watch.test_nvml import MIG, also
from touchline.testing.nvml import packaged_scenario
from touchline.watch import system_snapshot
from touchline.watch.secrets import HIDDEN, is_secret, without_secrets

PRINT = (
    "import json\nfrom touchline.watch import system_snapshot\nprint(json.dumps(system_snapshot({}, {{}})['driver']))"
)


def driver_as_told(start, scenario, timeout=30, **environment):
    return json.loads(start(PRINT.format(timeout), scenario, **environment).communicate()[0])


def test_the_driver_its_devices_and_their_processes_are_told(start):
    me = f"processes = {os.getpid()}:3e9, 999999999:1e9"
    told = driver_as_told(start, also(packaged_scenario("l4"), me))
    assert (told["version"], told["cuda"]) == ("570.0-stand-in", "12.8")
    (device,) = told["devices"]
    assert (device["name"], device["memory_gb"], device["power_limit_watts"]) == ("NVIDIA L4", 24, 72)
    ours, gone = device["processes"]
    assert ours["pid"] == os.getpid()
    assert ours["name"]
    assert ours["memory_gb"] == 3
    assert gone["name"] is None


def test_a_mig_device_is_told_as_one(start):
    (device,) = driver_as_told(start, MIG)["devices"]
    assert device["is_mig"]
    assert device["memory_gb"] == 40


def test_what_the_driver_does_not_tell_is_absent_alone(start):
    lines = ("fault nvmlDeviceGetEnforcedPowerLimit = NOT_SUPPORTED",)
    (device,) = driver_as_told(start, also(packaged_scenario("l4"), *lines))["devices"]
    assert device["power_limit_watts"] == "absent: Not Supported"
    assert device["memory_gb"] == 24


def test_a_driver_that_hangs_is_told_and_not_waited_for(start):
    told = driver_as_told(start, also(packaged_scenario("l4"), "hang * = 60s", section="driver"), timeout=0.2)
    assert "has not answered" in told["absent"]


def test_host_and_packages_are_told_in_a_form_that_json_has():
    told = json.loads(json.dumps(system_snapshot(environment={"A": "b"})))
    assert told["host"]["processors"] >= 1
    assert told["host"]["memory_gb"] >= told["host"]["memory_available_gb"] > 0
    assert told["packages"]["numpy"].startswith("2.")
    assert told["environment"] == {"A": "b"}


def test_the_snapshot_tells_the_environment_of_the_process_without_its_secrets(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "something-long")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    told = system_snapshot()["environment"]
    assert (told["WANDB_API_KEY"], told["MUJOCO_GL"]) == (HIDDEN, "egl")


@pytest.mark.parametrize(
    "name",
    [
        "WANDB_API_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "HF_TOKEN",
        "GITHUB_PAT",
        "PGPASSWORD",
        "DB_PASS",
        "mysql_pwd",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "SENTRY_DSN",
        "OPENAI_KEY_2",
        "GITHUB_TOKEN",
        "session.cookie",
    ],
)
def test_variables_named_like_secrets_are_hidden(name):
    assert without_secrets({name: "value"}) == {name: HIDDEN}


@pytest.mark.parametrize("name", ["PWD", "PATH", "KEYBOARD", "MONKEY", "AUTHOR", "COMPASS", "TOKENIZERS_PARALLELISM"])
def test_variables_that_only_sound_like_secrets_are_told(name):
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("https://anna:hunter2@mlflow.example/path", f"https://{HIDDEN}@mlflow.example/path"),
        ("postgresql+psycopg://u:p%40ss@db:5432/x", f"postgresql+psycopg://{HIDDEN}@db:5432/x"),
        ("https://ghp_abcdefghijklmnopqrst@github.com/x.git", f"https://{HIDDEN}@github.com/x.git"),
        ("https://x.example/?user=1&access_token=abcdef", f"https://x.example/?user=1&access_token={HIDDEN}"),
        ("host=db password=hunter2 port=1", f"host=db password={HIDDEN} port=1"),
        ("--api-key=abc --steps=3", f"--api-key={HIDDEN} --steps=3"),
        ("hf_abcdefghijklmnopqrstuv", HIDDEN),
        ("AKIAIOSFODNN7EXAMPLE", HIDDEN),
        ("eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM", HIDDEN),
        ("0123456789abcdef0123456789abcdef01234567", HIDDEN),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", HIDDEN),
        ("https://mlflow.example:5000/path?x=1", "https://mlflow.example:5000/path?x=1"),
        ("/usr/bin:/bin", "/usr/bin:/bin"),
    ],
)
def test_secrets_inside_other_values_are_hidden(value, told):
    assert without_secrets({"VALUE": value}) == {"VALUE": told}


@given(st.text(alphabet="abcXYZ019_%.~-", min_size=8, max_size=40))
def test_no_login_of_a_url_is_ever_told(password):
    told = without_secrets({"URL": f"first https://user:{password}@host/ then"})["URL"]
    assert told == f"first https://{HIDDEN}@host/ then"


def test_an_empty_secret_is_told_as_empty():
    assert without_secrets({"WANDB_API_KEY": ""}) == {"WANDB_API_KEY": ""}
