"""Programs in surroundings that other packages make; each test names its package."""

import pathlib
import sys

import pytest

# For what runs programs, see there.
sys.path.append(str(pathlib.Path(__file__).parents[1] / "faults"))


@pytest.fixture
def package(request):
    """Skip the test where the package that its module names is not installed."""
    return pytest.importorskip(request.module.PACKAGE)
