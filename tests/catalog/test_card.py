from dataclasses import replace

from touchline.catalog import ModelVersion
from touchline.catalog.about import About, Film
from touchline.catalog.card import LONGEST, card
from touchline.catalog.version import DIGEST_TAG, INPUTS_TAG, MADE_BY_JOB_TAG, MADE_BY_RUN_TAG, OUTPUTS_TAG

VERSION = ModelVersion(
    "club.models.ddpg_finetuned",
    3,
    "f" * 32,
    "",
    {
        DIGEST_TAG: "a" * 64,
        MADE_BY_RUN_TAG: "20261127-finetune",
        MADE_BY_JOB_TAG: "finetune",
        INPUTS_TAG: "[-1, 89]",
        OUTPUTS_TAG: "[-1, 12]",
        "gate3.passed": "true",
        "gate3.provisional": "true",
        "gate3.reason": "Provisionally passed: it scores | more.",
    },
    ("Champion",),
)
ABOUT = About(
    VERSION,
    1_500,
    {"eval/score": -0.99312},
    {"seed": "0"},
    {"system.python": "3.11.7", "touchline.recipe": "smoke", "code.commit": "0123"},
    {"numpy": "2.0", "tyro": "1.0"},
    ("finetune 2026", "converted m-1"),
    Film("videos/rollout-1500.mp4", 1_500, "#/experiments/1/runs/f/artifacts/videos/rollout-1500.mp4"),
)


def test_it_says_what_a_person_should_know():
    text = card(ABOUT, {"total_steps": "1500"})
    for told in (
        "**club.models.ddpg\\_finetuned version 3**, made by the finetune Run `20261127-finetune`, after 1,500",
        f"`{'a' * 64}`",
        'touchline.load_model("club.models.ddpg_finetuned/3")',
        "model.predict(np.zeros((1, 89), np.float32))  # shape (1, 12)",
        "**Gate 3, provisional verdict.** Provisionally passed: it scores \\| more.",
        "[videos/rollout-1500.mp4](#/experiments/1/",
        "| eval/score | -0.9931 |",
        "**Configuration** other than the defaults (recipe smoke)",
        "| total\\_steps | 1500 |",
        "- converted m-1",
        "code 0123, Python 3.11.7, numpy 2.0",
    ):
        assert told in text
    assert "@Champion" not in text, "an alias moves, and the card stays"
    assert "tyro" not in text


def test_what_nobody_recorded_is_left_out():
    text = card(About(replace(VERSION, tags={}, aliases=())), {})
    assert "It carries no digest." in text
    assert "model.predict(observations)" in text
    assert not any(word in text for word in ("Film", "Gate 3", "|", "Environment", "Made from"))


def test_it_fits_into_the_registry_whatever_there_is_to_tell():
    many = {f"option.{i}": "x" * 500 for i in range(300)}
    about = replace(ABOUT, metrics=dict.fromkeys(many, 1.0), parents=tuple(many), packages=many)
    text = card(about, many)
    assert len(text) <= LONGEST
    assert "and 286 more" in text
    assert text.count("```") == 2


def test_a_film_of_another_step_says_so():
    assert "of another step" not in card(ABOUT, {})
    assert "of another step" in card(replace(ABOUT, step=500), {})


def test_the_same_version_has_the_same_card():
    assert card(ABOUT, {}) == card(replace(ABOUT), {})
