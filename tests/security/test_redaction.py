"""What is masked on the way into a journal, and what stays although it sounds like a secret."""

from __future__ import annotations

import json
import logging
import os
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as within
from hypothesis import strategies as st

from touchline import redaction
from touchline.config import Settings
from touchline.masking import MASK, is_secret_setting, mask_text
from touchline.redaction import redact, redact_file_name, redact_text, remember
from touchline.tracking.encoding import encode
from touchline.tracking.journal import FILE_NAME, JournalReader
from touchline.tracking.start import start_run

KEY = "Zq8#planted/key+1"


@pytest.mark.parametrize(
    "variable",
    [
        "WANDB_API_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "DATABRICKS_TOKEN",
        "DATABRICKS_CLIENT_SECRET",
        "TOUCHLINE_WEBHOOK_URL",
        "TOUCHLINE_WEBHOOK_SECRET",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AZURE_STORAGE_CONNECTION_STRING",
        "PGPASSWORD",
        "SOME_SERVICE_API_KEY",
        "slack_bot_token",
    ],
)
def test_the_value_of_a_variable_that_carries_a_secret_is_masked_everywhere(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, KEY)
    assert redact_text(f"it said: {KEY}!") == f"it said: {MASK}!"
    assert KEY not in encode("params", {KEY: [{"deep": f"x{KEY}y"}]})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false-or-true-1"),
        ("WANDB_API_KEY_FILE", "/run/secrets/wandb-1"),
        ("DATABRICKS_SECRET_SCOPE", "touchline-scope-1"),
        ("SOME_TOKEN", "short1!"),
    ],
)
def test_other_variables_mask_nothing(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert redact_text(value) == value


def test_the_path_of_a_file_with_a_secret_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path))
    assert redact_text(f"reads {tmp_path}/data") == f"reads {tmp_path}/data"


def test_a_secret_is_masked_as_it_stands_in_an_address_in_json_and_in_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = 'p%"\\ss/w0rd\u00e9'
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", secret)
    for form in (urllib.parse.quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert redact_text(f"<{form}>") == f"<{MASK}>"


def test_the_password_of_an_address_is_a_secret_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:hunter%2F2-planted@db/x")
    assert redact_text("login failed with hunter/2-planted") == f"login failed with {MASK}"
    remember("https://ann:from-the-settings-1@mlflow.example")
    assert redact_text("got from-the-settings-1") == f"got {MASK}"


def test_a_secret_that_has_left_the_environment_is_still_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "left-behind-1234")
    redact_text("seen")
    monkeypatch.delenv("SOME_TOKEN")
    assert redact_text("left-behind-1234") == MASK


def test_a_secret_that_comes_into_the_environment_late_is_masked_at_once() -> None:
    os.environ["LATE_TOKEN"] = "late-comer-1234"
    try:
        assert redact_text("late-comer-1234") == MASK
    finally:
        del os.environ["LATE_TOKEN"]


def test_a_password_that_is_a_word_masks_the_word_and_no_part_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "footballs")
    assert redact_text("the password is footballs") == f"the password is {MASK}"
    assert redact_text("two footballshoes") == "two footballshoes"


@pytest.mark.parametrize(
    "name",
    ["api_key", "wandb.api_key", "apiKey", "password", "db_password", "token", "hf_token", "accessToken", "secret",
     "client-secret", "credentials", "credentials.user", "Authorization", "private_key", "connection_string",
     "pass", "db.pass", "PassWord", "smtp.passPhrase"],
)  # fmt: skip
def test_a_setting_named_like_a_secret_is_masked_whatever_its_value(name: str) -> None:
    assert redact("params", {name: "x"}) == {name: MASK}
    assert redact("params", {"outer": {name: ["x", {"y": "z"}]}})["outer"][name] == [MASK, {"y": MASK}]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 512), ("token", 7), ("tokenizer", "bpe"), ("tokens", "many"), ("eos_token", "</s>"),
        ("key", "loss"), ("sort_key", "loss"), ("license", "MIT"), ("secret_scope", "team"), ("password", None),
        ("password", ""), ("model", "hf_tiny_random_model"), ("path", "task-learn-something-else"),
        ("message", "token: 512, max_token=9"), ("commit", "0123456789abcdef0123456789abcdef01234567"),
        ("pass", 0.5), ("db.pass", True), ("pass_rate", "high"), ("passes", "many"), ("bypass", "on"),
        ("num_tokens", "9k"), ("token_count", "9k"), ("key_frame", "first"), ("reward.first_pass", "dense"),
        ("pass.kind", "short"),
        ("verdict", "pass: 0.833333, second pass: done, pass=no"), ("address", "https://x.example/?signal=3&design=a"),
        ("loss", 0.5), ("layers", [64, 64]), ("uri", "https://mlflow.example:5000/#/experiments/1"),
    ],
)  # fmt: skip
def test_a_setting_that_only_sounds_like_a_secret_stays(name: str, value: object) -> None:
    assert redact("params", {name: value}) == {name: value}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("cannot open https://ann:pw@host/x", "cannot open https://***@host/x"),
        ("https://ann:p@ss@host/x", "https://***@host/x"),
        ("connect(host=db password=hunter2)", "connect(host=db password=***"),
        ('{"api_key": "abc", "lr": 3}', '{"api_key": "***", "lr": 3}'),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: *** ***"),
        ("sent with Bearer abcdefgh12345678", "sent with Bearer ***"),
        ("key hf_abcdefghijklmnopqrstuv went", "key *** went"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nafter", "***\nafter"),
        ("PassWord: abc", "PassWord: ***"),
        ('{"db": {"pass": "abc", "lr": 3}}', '{"db": {"pass": "***", "lr": 3}}'),
        ("https://x/c?sv=2022&sig=abc%2Bd%3D then", "https://x/c?sv=2022&sig=*** then"),
        (
            "https://x/k?X-Amz-Signature=ab&x=1&X-Amz-Credential=AK/x",
            "https://x/k?X-Amz-Signature=***&x=1&X-Amz-Credential=***",
        ),
        ("https://x/k?X-Amz-Security-Token=abc", "https://x/k?X-Amz-Security-Token=***"),
        ("https://x/k?X-Goog-Signature=abc", "https://x/k?X-Goog-Signature=***"),
        (r'"https://x/k?a=1\u0026sig=abc"', r'"https://x/k?a=1\u0026sig=***"'),
        ("with ya29.a0-bc_abcdefghijklmnop.", "with ***."),
        ("sk_test_abcdefghijklmnop1234 sk_live_abcdefghijklmnop1234", "*** ***"),
        ("to https://hooks.slack.com/services/T0AA/B0BB/abcdef now", "to https://hooks.slack.com/services/*** now"),
        ("epoch 3: loss 0.5, 512 tokens/s", "epoch 3: loss 0.5, 512 tokens/s"),
    ],
)
def test_prose_and_output_lose_what_gives_a_secret_away(text: str, masked: str) -> None:
    assert mask_text(text) == masked


@within(max_examples=60)
@given(
    st.text(max_size=80)
    | st.from_regex(
        r"(https?://\w*:\S*@h|\w*(token|password|key)\s?[=:]\s?\S*|https?://x/[?&;](sig|X-Amz-Signature)=\S*"
        r"|https://hooks\.slack\.com/services/\S*)",
        fullmatch=True,
    )
)
def test_what_is_masked_stays_as_it_is_when_it_is_masked_again(text: str) -> None:
    once = mask_text(text)
    assert mask_text(once) == once


@within(max_examples=60)
@given(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=8, max_size=40),
    st.text(max_size=5),
    st.text(max_size=5),
)
def test_no_secret_of_the_environment_survives_whatever_its_characters(secret: str, before: str, after: str) -> None:
    secret = f"{secret.replace(chr(0), '0').replace('*', '0')}-1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redaction, "_known", redaction.Known())
        patch.setenv("PROPERTY_TOKEN", secret)
        assert secret not in redact_text(f"{before}{secret}{after}")
        assert secret not in json.loads(encode("alert", {"text": f"{before} {secret} {after}"}))["text"]


def test_a_tables_columns_named_like_a_secret_lose_their_texts_and_no_other_column_does() -> None:
    rows = [["bob", "hunter2", "abc", 1, 3], ["https://me:x@h", "", ["def"], 2, None]]
    table = {"name": "users", "columns": ["user", "password", "apiKey", "token", "passes"], "rows": rows}
    masked = [["bob", MASK, MASK, 1, 3], [f"https://{MASK}@h", "", [MASK], 2, None]]
    assert redact("table", table) == {**table, "rows": masked}
    assert rows[0][1] == "hunter2"


@given(
    st.lists(
        st.sampled_from(["user", "password", "db.pass", "wandb_key", "pass_rate", "lr"]), min_size=1, max_size=5
    ),
    st.integers(0, 3),
)
def test_no_row_of_a_table_tells_what_its_column_hides(columns: list[str], count: int) -> None:
    rows = [[f"cell-{row}-{at}" for at in range(len(columns))] for row in range(count)]
    for masked, row in zip(redact("table", {"columns": columns, "rows": rows})["rows"], rows, strict=True):
        assert masked == [MASK if is_secret_setting(name) else cell for name, cell in zip(columns, row, strict=True)]


def test_numbers_are_passed_through_untouched() -> None:
    values = {"token": 1.0}
    assert redact("metrics", values) is values


def test_a_file_name_without_its_secret_has_nothing_that_a_shell_expands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "name-of-file-1")
    assert redact_file_name("models/name-of-file-1.pt") == "models/masked.pt"


def test_the_log_is_masked_and_what_holds_no_secret_keeps_its_arguments(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "logged-secret-1")
    log = logging.getLogger("touchline")
    log.warning("it was %s", "logged-secret-1")
    log.warning("it was %s", "red")
    assert [record.getMessage() for record in caplog.records] == [f"it was {MASK}", "it was red"]
    assert caplog.records[1].args == ("red",)


def test_a_run_whose_names_hold_a_secret_is_recorded_without_it(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    secret = "in/names+12"
    monkeypatch.setenv("SOME_TOKEN", secret)
    run = start_run(f"job {secret}", name=secret, group=secret, settings=Settings(home=home, sinks=(), capture=()))
    source = home / "file"
    source.write_text("x")
    run.log_artifact(source, f"{secret}/{secret}.txt")
    run.log_histogram("weights", [1.0, 2.0])
    run.finish()
    assert "names" not in run.id and "12" not in run.id.partition("-job")[2].partition("-")[2]
    for file in home.rglob("*"):
        assert "in-names" not in str(file) and "in/names" not in str(file)
        assert file.is_dir() or secret.encode() not in file.read_bytes()
    with JournalReader(run.directory / FILE_NAME) as journal:
        (artifact,) = journal.of_kind(["artifact"])
    assert artifact.payload["name"] == "masked/masked.txt"
    assert (run.directory / artifact.payload["path"]).read_text() == "x"


def test_a_setting_is_recognised_by_words_and_not_by_letters() -> None:
    assert not any(
        map(is_secret_setting, ["monkey", "compass", "tokenizer.vocab", "secretary", "keyboard", "bypass"])
    )
