"""The folder in which shared workers were started is deleted."""

from harness import run

from support.programs import program


def test_a_worker_whose_folder_was_deleted_goes_to_the_program(method):
    done = run(program("deleted_folders"), method)
    assert done.lines == [
        "True",
        "True found",
        "True",
        "True",
        "True",
        "True",
        "True",
        "end",
    ], done.err
    assert not done.err
