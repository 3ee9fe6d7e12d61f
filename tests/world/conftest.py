"""Programs in surroundings that other packages make; each test names its package."""

import pytest


@pytest.fixture
def package(request):
    """Skip the test where the package that its module names is not installed."""
    return pytest.importorskip(request.module.PACKAGE)
