"""The distribution says what is in it, and the import says no more than it must."""

from __future__ import annotations

import importlib.util
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from fenced import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# None where the tests run over the working tree and nothing is installed.
try:
    DISTRIBUTION = metadata.distribution("parallelize")
except metadata.PackageNotFoundError:
    DISTRIBUTION = None

installed = pytest.mark.skipif(DISTRIBUTION is None, reason="needs an installed wheel")


def package_folder() -> Path:
    (folder,) = importlib.util.find_spec("parallelize").submodule_search_locations
    return Path(folder)


def test_marked_as_typed():
    assert (package_folder() / "py.typed").read_text() == ""


def test_licence_is_an_expression_with_its_file():
    project = PROJECT["project"]
    assert project["license"] == "MIT"
    for name in project["license-files"]:
        text = (ROOT / name).read_text()
        assert text.startswith("MIT License")
        assert "the parallelize authors" in text
    assert not any("License" in each for each in project["classifiers"])


def test_changelog_is_about_this_version():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {PROJECT['project']['version']}" in changes


def test_every_group_resolves_within_the_file():
    groups = PROJECT["dependency-groups"]
    for entries in groups.values():
        for entry in entries:
            if isinstance(entry, dict):
                assert entry["include-group"] in groups


@installed
def test_metadata_of_the_wheel():
    about = DISTRIBUTION.metadata
    assert about["Name"] == "parallelize"
    assert about["Version"] == PROJECT["project"]["version"]
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    needs = {
        need.split(">")[0].strip()
        for need in DISTRIBUTION.requires
        if "extra ==" not in need
    }
    assert needs == {"cloudpickle", "tqdm", "typing-extensions", "wrapt"}
    assert set(about.get_all("Provides-Extra")) >= {"dask", "ray"}


@installed
def test_wheel_holds_the_package_and_nothing_beside_it():
    files = [Path(file) for file in DISTRIBUTION.files]
    tops = {file.parts[0] for file in files if ".dist-info" not in file.parts[0]}
    if not any(top.endswith((".pth", ".py")) for top in tops):  # not an editable one
        assert tops == {"parallelize"}
        in_tree = {
            file.relative_to(ROOT) for file in (ROOT / "parallelize").rglob("*.py")
        }
        assert in_tree <= set(files)


def test_the_package_says_its_version():
    import parallelize

    assert parallelize.__version__ == PROJECT["project"]["version"]
