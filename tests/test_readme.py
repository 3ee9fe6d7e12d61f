"""What the README shows is true: its example, its commands, its links."""

from __future__ import annotations

import configparser
import re
import sys

import pytest

from fenced import ROOT, examples_of, printed_by

sys.path.append(str(ROOT))  # for `benchmarks`, which is not in the wheel

README = ROOT / "README.md"


def shell_commands() -> list[str]:
    text = README.read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)


def command_with(word: str) -> str:
    (command,) = [each for each in shell_commands() if word in each]
    return command


def without_times(text: str) -> str:
    return re.sub(r"\d+\.\d\d s\b", "? s", text)


def test_example_prints_what_is_shown(tmp_path):
    """... but for the times, which are those of more work on a quiet machine."""
    (example,) = examples_of(README)
    assert len(list(filter(None, example.code.splitlines()))) <= 15
    assert example.code.count("1_000_000") == 1
    shorter = example._replace(code=example.code.replace("1_000_000", "300"))
    (printed,) = printed_by([shorter], tmp_path)
    assert without_times(printed) == without_times(example.shown)
    assert without_times(example.shown).count("? s") == 2


def parts():
    from benchmarks.front.__main__ import PARTS

    return [pytest.param(*part, id=f"{part[0].stem}-{part[1]}") for part in PARTS]


@pytest.mark.parametrize(("page", "name", "make"), parts())
def test_short_tables_say_what_the_long_ones_say(page, name, make):
    """`python -m benchmarks.front` writes them."""
    text = page.read_text(encoding="utf-8")
    assert f"<!-- {name}: begin -->\n{make()}\n<!-- {name}: end -->" in text


def test_badges_say_what_the_project_says():
    from benchmarks.front.badges import TESTED, badges, svg

    for name, (left, right) in badges().items():
        badge = ROOT / "docs" / "images" / f"badge-{name}.svg"
        assert badge.read_text(encoding="utf-8") == svg(left, right)
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert all(f"py{version.replace('.', '')}" in tox for version in TESTED.split(", "))


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


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
