"""Runs ty and pyrefly, and compares what they report with what mypy does.

``python tests/support/checkers.py`` runs both over the package and over tests/typing. A
line with ``type: ignore`` is wrong, and in tests/typing each checker has to report it;
no other line may be reported. Where a checker differs, for a reason of its own,
checkers.toml says so; an entry that does not hold any more is an error, too.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE, TESTS = "parallelize", "tests/typing"

#: Each prints one line for each error: path:line:column, then the text and the rule.
COMMANDS = {
    "ty": ["ty", "check", "--python", sys.prefix, "--python-version=3.11"]
    + ["--extra-search-path=stubs", "--output-format=concise", "--ignore=deprecated"],
    # Without mypy's comments, so that it reports wrong programs itself.
    "pyrefly": ["pyrefly", "check", "--preset=default", "--min-severity=error"]
    + ["--enabled-ignores=pyrefly", "--python-interpreter-path", sys.executable]
    + ["--python-version=3.11", "--search-path=.", "--search-path=stubs"]
    + ["--output-format=min-text"],
}
PLACE = re.compile(r"(?:ERROR )?([\w/]+\.py):(\d+):")
RULE = re.compile(r"\[([a-z]+(?:-[a-z]+)+)\]")


def reported(checker, files):
    """Return the rules that were reported of each (file, line)."""
    command = [*COMMANDS[checker], *map(str, files)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    found = {}
    for line in ended.stdout.splitlines():
        if place := PLACE.match(line):
            rule = RULE.findall(line)[-1]
            found.setdefault((place[1], int(place[2])), {})[rule] = line
    if not found:
        sys.exit(f"{checker} did not run:\n{ended.stdout}\n{ended.stderr}")
    return found


def differences(checker, files):
    """Yield (file, rule, the line, a text) where a checker differs from mypy."""
    found = reported(checker, files)
    for path in files:
        name = str(path)
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            rules = found.get((name, number), {})
            if "type: ignore" not in line:
                for rule, text in rules.items():
                    yield name, rule, line, text
            elif not rules and name.startswith(TESTS):
                yield name, "", line, f"{name}:{number}: not reported: {line.strip()}"


def is_known(difference, entry):
    name, rule, line, _ = difference
    return (
        name == entry["file"]
        and rule == entry.get("rule", "")
        and any(part in line for part in entry.get("lines", [""]))
    )


def check(checker, files, known):
    """Return the texts of what is not as it should be."""
    unused = list(known)
    wrong = []
    for difference in differences(checker, files):
        entry = next((each for each in known if is_known(difference, each)), None)
        if entry is None:
            wrong.append(difference[-1])
        elif entry in unused:
            unused.remove(entry)
    return wrong + [f"not so any more: {entry}" for entry in unused]


def main():
    known = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    files = [
        path.relative_to(ROOT)
        for folder in (PACKAGE, TESTS)
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    wrong = []
    for checker in COMMANDS:
        texts = check(checker, files, known[checker])
        print(f"{checker}: {len(files)} files, {len(texts)} errors")
        wrong += texts
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
