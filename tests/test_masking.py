"""What looks like a secret is masked wherever it would be kept: the environment, a command line, source code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.masking import MASK, is_secret, mask_arguments, mask_environment, mask_source, without_credentials


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
def test_variables_named_like_secrets_are_masked(name: str) -> None:
    assert mask_environment({name: "value"}) == {name: MASK}


@pytest.mark.parametrize("name", ["PWD", "PATH", "KEYBOARD", "MONKEY", "AUTHOR", "COMPASS", "TOKENIZERS_PARALLELISM"])
def test_variables_that_only_sound_like_secrets_are_told(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("https://anna:hunter2@mlflow.example/path", f"https://{MASK}@mlflow.example/path"),
        ("postgresql+psycopg://u:p%40ss@db:5432/x", f"postgresql+psycopg://{MASK}@db:5432/x"),
        (f"dapi{'0a' * 16}", MASK),
        ("https://ghp_abcdefghijklmnopqrst@github.com/x.git", f"https://{MASK}@github.com/x.git"),
        ("https://x.example/?user=1&access_token=abcdef", f"https://x.example/?user=1&access_token={MASK}"),
        ("host=db password=hunter2 port=1", f"host=db password={MASK} port=1"),
        ("--api-key=abc --steps=3", f"--api-key={MASK} --steps=3"),
        ("hf_abcdefghijklmnopqrstuv", MASK),
        ("AKIAIOSFODNN7EXAMPLE", MASK),
        ("eyJhbGciOi.eyJzdWIiOi.SflKxwRJSM", MASK),
        ("0123456789abcdef0123456789abcdef01234567", MASK),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", MASK),
        ("https://mlflow.example:5000/path?x=1", "https://mlflow.example:5000/path?x=1"),
        ("/usr/bin:/bin", "/usr/bin:/bin"),
    ],
)
def test_secrets_inside_other_values_are_masked(value: str, told: str) -> None:
    assert mask_environment({"VALUE": value}) == {"VALUE": told}


@given(st.text(alphabet="abcXYZ019_%.~-", min_size=8, max_size=40))
def test_no_login_of_a_url_is_ever_told(password: str) -> None:
    told = mask_environment({"URL": f"first https://user:{password}@host/ then"})["URL"]
    assert told == f"first https://{MASK}@host/ then"


def test_an_empty_secret_is_told_as_empty() -> None:
    assert mask_environment({"WANDB_API_KEY": ""}) == {"WANDB_API_KEY": ""}


@pytest.mark.parametrize(
    ("given", "masked"),
    [
        (["--api-key=abc"], ["--api-key=***"]),
        (["-api_key", "abc", "--lr", "3"], ["-api_key", "***", "--lr", "3"]),
        (["API_KEY=abc"], ["API_KEY=***"]),
        (["--wandbkey", "abc"], ["--wandbkey", "***"]),
        (["--keyboard=us", "--monkey=3", "--tokenizer=bpe"], ["--keyboard=us", "--monkey=3", "--tokenizer=bpe"]),
        (["--note=hf_abcdefghijklmnopqrstuv"], ["--note=***"]),
        (
            ["--commit=0123456789abcdef0123456789abcdef01234567"],
            ["--commit=0123456789abcdef0123456789abcdef01234567"],
        ),
        (["https://me:abc@host/x"], ["https://host/x"]),
    ],
)
def test_secrets_on_a_command_line_are_masked_and_the_rest_is_left_to_repeat_it(
    given: list[str], masked: list[str]
) -> None:
    assert mask_arguments(given) == masked


@pytest.mark.parametrize(
    ("written", "masked"),
    [
        ('wandb.login(api_key="abc")', 'wandb.login(api_key="***")'),
        ("os.environ['HF_TOKEN'] = 'abc'", "os.environ['HF_TOKEN'] = '***'"),
        ('{"password": "abc"}', '{"password": "***"}'),
        ("%env WANDB_API_KEY=abc", "%env WANDB_API_KEY=***"),
        ("!pip install git+https://me:abc@host/x", "!pip install git+https://host/x"),
        ('x["APP_PASSWORD"],"password":"abc"', 'x["APP_PASSWORD"],"password":"***"'),
        ('connect("host=db password=abc")', 'connect("host=db password=***")'),
        ('headers = {"Accept": "Bearer 0123456789abcdef"}', 'headers = {"Accept": "Bearer ***"}'),
        ('x = "ghp_0123456789abcdefghijklmnopqrstuvwxyz"', 'x = "***"'),
        ('f(password=get(), at="x")', 'f(password=get(), at="x")'),
        ('f"host=db password={word}"', 'f"host=db password={word}"'),
        ('key = "loss"', 'key = "loss"'),
        ("token = tokenizer.next()", "token = tokenizer.next()"),
    ],
)
def test_secrets_in_source_are_masked_and_code_is_left_alone(written: str, masked: str) -> None:
    assert mask_source(written) == masked


def test_an_option_that_only_sounds_secret_takes_no_other_option_along() -> None:
    assert mask_arguments(["--use-key", "--lr", "3"]) == ["--use-key", "--lr", "3"]


def test_a_uri_without_its_credentials_still_leads_there() -> None:
    assert without_credentials("see ssh://git@host/x and http://h/y@z") == "see ssh://host/x and http://h/y@z"
