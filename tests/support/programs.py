"""The programs that tests run beside themselves, as files under tests/programs."""

import pathlib
import re

PROGRAMS = pathlib.Path(__file__).parent.parent / "programs"


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
