"""A program that Nuitka has compiled, whose functions have no bytecode."""

PACKAGE = PROJECT = "nuitka"


def test_functions_of_a_compiled_program_are_called_by_name_in_its_forks(project):
    options = "--output-dir=out", "--follow-import-to=helper", "--no-progressbar"
    with project.started(
        project.tool("python"), "-m", "nuitka", *options, "prog.py"
    ) as nuitka:
        nuitka.wait(220)
    for source in project.folder.glob("*.py"):
        source.unlink()
    *lines, refused = project.run(project.folder / "out" / "prog.bin").splitlines()
    assert lines == [
        "6 12 [0, 3, 6]",
        "3 True",
        "[0, 1, 2] 5",
        "40 [0, -1, -2]",
    ]
    assert refused.startswith("SerializationError: ")
    assert "compiled by Nuitka" in refused
    assert "define it with def at the top level of a module" in refused
