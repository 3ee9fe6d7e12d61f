"""The programs that tests run beside themselves, as files under tests/programs."""

import os
import pathlib
import re
import subprocess
import sys

import parallelize

TESTS = pathlib.Path(__file__).parent.parent
PROGRAMS = TESTS / "programs"
PACKAGE_FOLDER = os.path.dirname(os.path.dirname(parallelize.__file__))


def program(name, **words):
    """Return the text of a program.

    Args:
        name: Of the file, without its suffix: "deadlines/batch".
        words: What stands for names that the program leaves open, as source text.
    """
    text = (PROGRAMS / f"{name}.py").read_text(encoding="utf-8")
    for word, value in words.items():
        text, count = re.subn(rf"\b{word}\b", lambda _, v=value: str(v), text)
        assert count, f"{name} has no {word}"
    return text


def run_script(path, *args, options=(), folders=()):
    """Run a file, that must end well; return what came of it.

    Args:
        path: Of the file.
        args: Its arguments.
        options: Of Python.
        folders: Where it finds modules besides the package.
    """
    folders = os.pathsep.join(map(str, [PACKAGE_FOLDER, *folders]))
    done = subprocess.run(
        [sys.executable, *options, path, *args],
        env=os.environ | {"PYTHONPATH": folders},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done
