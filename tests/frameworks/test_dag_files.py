"""Schedulers that load files by path, under names of their own, as Airflow does."""

PACKAGE = "parallelize"
PROJECT = "dag_files"

RUN = "36 [0, 1, 2]\n[0, 3, 6]\n"


def test_functions_and_classes_of_such_a_file_reach_workers(project):
    # Python warns of forks beside threads, which is what such schedulers do.
    quiet = "-Wignore::DeprecationWarning"
    assert project.python(quiet, "scheduler.py") == 3 * RUN
