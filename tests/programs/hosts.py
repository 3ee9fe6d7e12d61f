"""A program that cannot be run by ``sys.executable``, as HOST says."""

import pathlib
import subprocess

HOST, FOLDER = os.environ["HOST"], pathlib.Path(os.environ["FOLDER"])
PYTHON = sys.executable

with (FOLDER / "runs").open("a") as runs:
    runs.write("run\n")


def script(name, text):
    path = FOLDER / name
    path.write_text(f"#!/bin/sh\necho started >> {FOLDER}/started\n{text}\n")
    path.chmod(0o755)
    return str(path)


program = FOLDER / "program.py"
if not program.exists():
    program.write_text(sys.orig_argv[-1])
again = f"exec {PYTHON} -X faulthandler {program}"

if HOST == "frozen":
    sys.frozen, sys.executable = True, script("app", again)
elif HOST == "compiled":
    sys.modules["__main__"].__compiled__ = (2, 0)
    sys.executable = script("app", again)
elif HOST == "host":
    sys.executable = script("host", again)
elif HOST == "none":
    sys.executable = None
elif HOST == "empty":
    sys.executable = ""
elif HOST == "told":
    import multiprocessing

    wrapper = script("wrapper", f'exec {PYTHON} "$@"')
    multiprocessing.set_executable(wrapper if METHOD == "spawn" else wrapper.encode())

from parallelize import processed, use


def square(x):
    return x * x


def inner():
    """Run another program, which uses processes itself."""
    code = "from parallelize import processed; print(processed(abs)(-3).result(20))"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    return done.stdout, done.stderr, [n for n in os.environ if "STARTED_BY" in n]


if __name__ == "__main__":
    with executor(2) as pool:
        print(outcome(pool.submit(square, 3), 20))
        print(
            list(pool.map(square, range(3)))
            if METHOD == "fork" or HOST not in ("host", "none", "empty")
            else ""
        )
        if HOST in ("frozen", "plain", "told"):
            print(outcome(pool.submit(inner), 20))
            with use(pool):
                print(outcome(processed(square)(4)))
    with use(executor(1, initializer=print, initargs=("begun",))):
        print(outcome(processed(square)(5), 20), flush=True)
    print("end")
