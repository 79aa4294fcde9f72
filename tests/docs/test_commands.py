"""Every command that a page shows is one: the real command line parses it, its files and targets are there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tyro

from tests.docs.pages import (
    DOCS,
    EVERY_PAGE,
    INLINE,
    PAGES,
    README,
    ROOT,
    SHELL,
    Block,
    blocks,
    commands,
    name_of,
    text_of,
)
from touchline import cli
from touchline.config import PREFIX

WRAPPERS = ("nice", "srun", "time", "exec")
SHOWN = [block for page in (*PAGES, README) for block in blocks(page) if block.language in SHELL]


class Parsed(BaseException):
    """The arguments were taken; no command goes further."""


@pytest.fixture
def only_parsing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real parser parses, and then nothing is done."""
    parse = tyro.cli

    def parse_only(*arguments: Any, **options: Any) -> None:
        raise Parsed(parse(*arguments, **options))

    monkeypatch.setattr(tyro, "cli", parse_only)
    monkeypatch.setattr(cli, "read_toml", lambda path: {})  # of files that a study writes
    monkeypatch.chdir(tmp_path)


def is_taken(arguments: Sequence[str]) -> bool:
    """Whether the command line takes these arguments."""
    try:
        return cli.main(arguments) == 0
    except Parsed:
        return True
    except SystemExit as left:
        return left.code == 0


def touchline_of(command: Sequence[str]) -> list[str] | None:
    """The arguments of touchline in a command, also behind srun or docker run; None where it is another program."""
    words = list(command)
    while words and words[0] in WRAPPERS:
        words = words[1:]
        while words and words[0].startswith("-"):
            words = words[2:] if words[0] == "-n" else words[1:]
    if words[:2] == ["docker", "run"] and "touchline" in words:
        words = words[words.index("touchline") :]
    if not words or Path(words[0]).name != "touchline":
        return None
    arguments = words[1:]
    for number, word in enumerate(arguments):
        if re.fullmatch(r"\d?>>?.*|<.*", word):  # what a shell does with its output
            return arguments[:number]
    return arguments


def calls() -> Iterator[Any]:
    for block in SHOWN:
        for number, command in enumerate(commands(block)):
            arguments = touchline_of(command)
            if arguments is not None:
                yield pytest.param(arguments, id=f"{block}-{number}")


@pytest.mark.usefixtures("only_parsing")
def test_the_command_line_takes_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    refused = {}
    for call in calls():
        if not is_taken(call.values[0]):
            refused[call.id] = " ".join([*call.values[0], "->", *"".join(capsys.readouterr()).split()])[:600]
    assert not refused, "\n".join(f"{place}: touchline {told}" for place, told in refused.items())


@pytest.mark.usefixtures("only_parsing")
@pytest.mark.parametrize(
    "wrong", [["runs", "--al"], ["tune"], ["run", "pretrain", "--pretrain.sac.learn", "1"], ["fil"]]
)
def test_a_command_that_is_none_would_be_found(wrong: list[str]) -> None:
    assert not is_taken(wrong)


def test_enough_is_looked_at() -> None:
    assert len(list(calls())) > 100


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_commands_within_a_sentence_exist(page: Path) -> None:
    """Their options are checked in the blocks; within sentences there are placeholders."""
    named = {
        found[1]
        for code in INLINE.findall(text_of(page))
        if (found := re.match(r"(?:\.venv/bin/)?touchline ([a-z]+)\b(?!\.)", code))
    }
    assert named <= set(cli.COMMANDS)


def programs(name: str) -> Iterator[tuple[Block, list[str], Path]]:
    """The calls of another program, with the directory that the page has changed to."""
    place, page = ROOT, None
    for block in SHOWN:
        place, page = (place, page) if block.page == page else (ROOT, block.page)
        for command in commands(block):
            if command[0] == "cd" and (ROOT / command[1]).is_dir():
                place = ROOT / command[1]
            words = command[3:] if command[:2] == ["nice", "-n"] else command
            if words and Path(words[0]).name == name:
                yield block, words[1:], place


def test_scripts_that_are_run_are_there() -> None:
    for block, arguments, place in programs("python"):
        script = arguments[0] if arguments else ""
        if script.endswith(".py"):
            assert (place / script).is_file(), f"{block}: python {script}"


def test_code_on_the_command_line_compiles() -> None:
    for block, arguments, _ in programs("python"):
        if arguments[:1] == ["-c"]:
            compile(arguments[1], str(block), "exec")


def test_tests_that_are_named_are_there() -> None:
    for block, arguments, _ in programs("pytest"):
        file = ROOT / arguments[0]
        assert file.is_file(), f"{block}: {file}"
        if "-k" in arguments:
            for word in arguments[arguments.index("-k") + 1].split(" or "):
                assert re.search(rf"def test_\w*{word}", file.read_text()), f"{block}: no test {word!r} in {file}"


def test_targets_of_make_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for block, arguments, _ in programs("make"):
        assert arguments[0] in targets, f"{block}: make {arguments[0]}"


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_extras_and_settings_that_are_named_exist(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        extra
        for group in re.findall(r"(?:touchline|'\.)\[([a-z0-9,]+)\]", text_of(page))
        for extra in group.split(",")
    }
    assert named <= set(extras)
    source = "\n".join(text_of(file) for file in sorted((ROOT / "src").rglob("*.py")))
    for setting in set(re.findall(rf"{PREFIX}([A-Z_]+[A-Z])\b", text_of(page))):
        assert f'"{PREFIX}{setting}"' in source or f"{setting.lower()}:" in source or f'"{setting}"' in source, (
            setting
        )


def test_the_tutorial_is_among_them() -> None:
    assert DOCS / "tutorial.md" in PAGES
