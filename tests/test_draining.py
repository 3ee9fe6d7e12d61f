"""`drain_on_signal`: a signal ends the program after the calls that run."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from parallelize import drain_on_signal
from support.programs import PACKAGE_FOLDER, PROGRAMS

KINDS = ("process", "thread")


def end_by_signal(folder, *, grace=30.0, queued="finish", length=0.5, twice=False):
    """Run the service, send it the signal; return its status and what it has noted."""
    program = subprocess.Popen(
        [
            *(sys.executable, str(PROGRAMS / "draining" / "service.py"), str(folder)),
            *(str(grace), queued, str(length)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": PACKAGE_FOLDER},
    )
    try:
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGTERM)
        if twice:
            while not (folder / "finally").exists():
                time.sleep(0.005)
            program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=50)
    finally:
        program.kill()
        program.wait()
    assert "Traceback" not in errors, errors
    return program.returncode, set(os.listdir(folder))


def test_what_runs_and_waits_is_finished(tmp_path):
    status, noted = end_by_signal(tmp_path)
    assert status == -signal.SIGTERM
    for kind in KINDS:
        assert f"{kind} running asked" in noted
        assert {f"{kind} queued0 asked", f"{kind} queued1 asked"} <= noted
    assert {"finally", "refused"} <= noted


def test_what_waits_is_dropped(tmp_path):
    status, noted = end_by_signal(tmp_path, queued="drop", length=1.5)
    assert status == -signal.SIGTERM
    for kind in KINDS:
        assert f"{kind} running asked" in noted
        assert f"{kind} queued0 began" not in noted
        assert f"{kind} queued1 began" not in noted


def test_after_the_grace_the_rest_is_killed(tmp_path):
    begin = time.monotonic()
    status, noted = end_by_signal(tmp_path, grace=0.3, length=45)
    assert status == -signal.SIGTERM
    assert time.monotonic() - begin < 40
    assert not any(name.endswith(("asked", "ended")) for name in noted)


def test_a_second_signal_ends_it_at_once(tmp_path):
    begin = time.monotonic()
    status, _ = end_by_signal(tmp_path, grace=45, length=45, twice=True)
    assert status == -signal.SIGTERM
    assert time.monotonic() - begin < 40


def test_a_handler_of_a_server_is_called_and_decides(tmp_path):
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "draining" / "server.py")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": PACKAGE_FOLDER},
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["handler", "in", "time", "42", "43"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"queued": "keep"}, ValueError, "queued must be 'finish' or 'drop'"),
        ({"grace": -1}, ValueError, "grace must be 0 seconds or more"),
        ({"grace": "soon"}, TypeError, "grace must be a number of seconds"),
        ({"number": "15"}, TypeError, "number must be a whole number, not '15'"),
        ({"number": 1.5}, TypeError, "number must be a whole number, not 1.5"),
        ({"number": 0}, ValueError, "number must be at least 1"),
        ({"number": 10**30}, ValueError, "number must be a signal of this system"),
    ],
)
def test_wrong_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        drain_on_signal(**options)


def test_it_is_for_the_main_thread():
    errors = []

    def call():
        try:
            drain_on_signal()
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert "main thread" in errors[0]
