"""Projects in frameworks, started as their manuals say; each test names its package."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import uuid

import pytest

from support.programs import PACKAGE_FOLDER, PROGRAMS

# For what looks for processes that are left, see there.
sys.path.append(str(pathlib.Path(__file__).parents[1] / "faults"))

from harness import MARK, command_of, gone_within, marked  # noqa: E402


@pytest.fixture
def project(request, tmp_path):
    """A copy of the project that the module names; nothing of it may outlive the test."""
    pytest.importorskip(request.module.PACKAGE)
    project = Project(request.module.PROJECT, tmp_path)
    try:
        yield project
        left = gone_within(project.mark, 5)
        assert not left, [command_of(pid) for pid in left]
    finally:
        for pid in marked(project.mark):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


class Project:
    """A folder with the files of a project, in which commands run."""

    def __init__(self, name, folder):
        self.mark = uuid.uuid4().hex
        self.folder = folder / name
        shutil.copytree(PROGRAMS / name, self.folder)
        self.environment = os.environ | {"PYTHONPATH": PACKAGE_FOLDER, MARK: self.mark}

    def run(self, *command):
        """Run a command, that must end well and print no error; return what it prints."""
        done = subprocess.run(
            list(map(str, command)),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        return done.stdout

    def python(self, *args):
        """Run Python, likewise."""
        return self.run(sys.executable, *args)

    @contextlib.contextmanager
    def started(self, *command, **environment):
        """Start a command, with its output in the file "log"; end it by SIGTERM."""
        with open(self.folder / "log", "w") as log:
            process = subprocess.Popen(
                list(map(str, command)),
                cwd=self.folder,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        except BaseException:
            print((self.folder / "log").read_text())
            raise
        finally:
            process.terminate()
            process.wait(20)

    def tool(self, name):
        """The path of a program that a package has installed."""
        return pathlib.Path(sys.executable).with_name(name)

    def edit(self, name, before, after):
        """Change the text of a file."""
        path = self.folder / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))
