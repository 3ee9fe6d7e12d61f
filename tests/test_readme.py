"""What the README shows is true: its example, its commands, its links."""

from __future__ import annotations

import configparser
import re

import pytest

from fenced import ROOT, examples_of, printed_by

README = ROOT / "README.md"


def shell_commands() -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)


def command_with(word: str) -> str:
    (command,) = [each for each in shell_commands() if word in each]
    return command


def test_example_prints_what_is_shown(tmp_path):
    (example,) = examples_of(README)
    assert example.shown, "the README shows no output"
    assert printed_by([example], tmp_path) == [example.shown]


def test_each_of_the_two_commands_is_one_line():
    for command in (command_with("primes.py"), command_with("tox")):
        assert "\n" not in command


def test_first_command_runs_a_file_that_is_there():
    script = command_with("primes.py").split()[-1]
    assert (ROOT / script).is_file()


def test_commands_need_only_python_and_pip():
    """Every program in them is python3, or was put into .venv by a part before."""
    for command in (command_with("primes.py"), command_with("tox")):
        for part in command.split(" && "):
            program = part.split()[0]
            assert program == "python3" or program.startswith(".venv/bin/"), part


def test_ci_runs_the_test_command_to_the_letter():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lines = [line.strip() for line in script.splitlines()]
    assert command_with("tox") in lines


def test_tox_has_the_environments_and_skips_none():
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini", encoding="utf-8")
    listed = set(re.split(r"[,\s]+", settings["tox"]["env_list"]))
    assert {"py311", "py313", "py314", "lint", "types", "docs"} <= listed
    assert not settings["tox"].getboolean("skip_missing_interpreters")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
