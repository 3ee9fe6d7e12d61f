"""The command line: ``python -m parallelize``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Decorators that make functions run in parallel, in threads and processes.

This command shows what the library finds on this machine. The library itself is
used from Python:

    from parallelize import processed

    @processed
    def work(x): ...

    results = list(work.map(range(1000)))

`help(parallelize)` lists the names. What the command line can do is listed below.
"""

_VARIABLES = """\
environment variables that the library reads:
  PARALLELIZE_EXECUTOR     threads, processes, interpreters or serial: where calls
                           run that were given no executor
  PARALLELIZE_MAX_WORKERS  how many workers a pool has by default
  PYTHON_CPU_COUNT         how many CPUs there are, whatever the system says
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m parallelize",
        description=_DESCRIPTION,
        epilog=_VARIABLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="store_true", help="show the version and end")
    commands = made.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    doctor = commands.add_parser(
        "doctor",
        help="show Python, CPUs, limits and engines, and try the pools for 5 seconds",
        description="Show what the library finds on this machine: for the report of a "
        "bug, or to see why a pool has the number of workers that it has. The exit "
        "code is 1 if a pool does not work.",
    )
    doctor.add_argument(
        "--no-test", action="store_true", help="do not try the pools, only look"
    )
    checkpoint = commands.add_parser(
        "checkpoint",
        help="show what the checkpoint of a map holds",
        description="Show the function, the number of rows, the size and the times of "
        "a file that a map has written with checkpoint=. Nothing in it is run. It ends "
        "with 1 if the file is not a checkpoint, or is in use.",
    )
    checkpoint.add_argument("file", help="the file")
    checkpoint.add_argument(
        "--accept-code",
        action="store_true",
        help="keep the results, although the code of the function has changed: the "
        "next map that uses the file notes its own",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    made = parser()
    options = made.parse_args(arguments)
    if options.version:
        from parallelize.insight.doctor import version

        sys.stdout.write(f"parallelize {version('parallelize')}\n")
        return 0
    if options.command == "doctor":
        from parallelize.insight.doctor import doctor

        return doctor(sys.stdout, test=not options.no_test)
    if options.command == "checkpoint":
        from parallelize.insight.checkpoint import show

        return show(options.file, sys.stdout, accept_code=options.accept_code)
    made.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
