"""What looks like a secret is masked wherever it would be kept: the environment, a command line, source code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchline.masking import (
    MASK,
    is_secret,
    is_secret_setting,
    mask_arguments,
    mask_environment,
    mask_source,
    mask_text,
    without_credentials,
)

SETTINGS = ["api_key", "apiKey", "ssh_key", "password", "PassWord", "pwd", "db_pass", "client_secret", "AccountKey",
            "hf_token", "credentials", "passphrase", "connection_string", "signing-key", "cookie"]  # fmt: skip


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
        (["https://host/x?sv=1&sig=abc"], ["https://host/x?sv=1&sig=***"]),
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
        ('{"pwd": "abc", "ssh_key": "def", "lr": "1e-3"}', '{"pwd": "***", "ssh_key": "***", "lr": "1e-3"}'),
        ('{"db": {"pass": "abc"}}', '{"db": {"pass": "***"}}'),
        ("password: str | None = 'abc'", "password: str | None = '***'"),
        ('password = """it\'s"""', 'password = """***"""'),
        ('"Name=x;AccountKey=abc0==;Suffix=core"', '"Name=x;AccountKey=***;Suffix=core"'),
        ('"client_id=x&client_secret=abc"', '"client_id=x&client_secret=***"'),
        ('note = "PassWord: abc"', 'note = "PassWord: ***"'),
        ('"https://x/c?sv=2022&sig=abc%2B"', '"https://x/c?sv=2022&sig=***"'),
        ('post("https://hooks.slack.com/services/T0/B0/abc")', 'post("https://hooks.slack.com/services/***")'),
        ("%env MYSQL_PWD=abc", "%env MYSQL_PWD=***"),
        ('f("a", password=get(), at="x")', 'f("a", password=get(), at="x")'),
        ('"password=%s" % word', '"password=%s" % word'),
        ('["pass", "dribble", "shoot"]', '["pass", "dribble", "shoot"]'),
        ('["user", "password", "api_key"]', '["user", "password", "api_key"]'),
        ('setdefault("SSH_KEY", "abc")', 'setdefault("SSH_KEY", "***")'),
        ('key_frame = "a"; bypass = "b"; pass_rate = "c"', 'key_frame = "a"; bypass = "b"; pass_rate = "c"'),
        ('tokenizer = "bpe"', 'tokenizer = "bpe"'),
        ("# don't\npwd = 'abc'", "# don't\npwd = '***'"),
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


@given(st.sampled_from(SETTINGS), st.from_regex(r"[A-Za-z][A-Za-z0-9+/]{7,30}", fullmatch=True))
def test_a_name_that_tells_of_a_secret_does_so_in_settings_prose_and_source(name: str, secret: str) -> None:
    assert is_secret_setting(name) and is_secret_setting(f"outer.{name}")
    for text in (f"{name}={secret}", f"{name}: {secret}", f'{{"{name}": "{secret}"}}', f"a=1&{name}={secret}&b=2"):
        assert mask_text(text) == text.replace(secret, MASK)
        assert mask_source(f"x = {text!r}") == f"x = {text!r}".replace(secret, MASK)
    literal = f'{{"{name}": "{secret}", "next": "{secret}"}}'
    assert mask_source(literal) == f'{{"{name}": "{MASK}", "next": "{secret}"}}'


@given(st.text(alphabet="\"'#={}\\\n :,passwordkeytoken", max_size=120))
def test_source_that_is_masked_keeps_its_lines_and_stays_when_it_is_masked_again(text: str) -> None:
    once = mask_source(text)
    assert once.count("\n") == text.count("\n")
    assert mask_source(once) == once
