"""Settings and fixtures of all tests."""

import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))

# Derandomised: a failure on one machine is a failure on all of them. No deadline: machines may be busy.
hypothesis.settings.register_profile(
    "rkeras", max_examples=40, deadline=None, derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
hypothesis.settings.load_profile("rkeras")


@pytest.fixture(autouse=True)
def fresh_names():
    """Layer names count from zero in every test."""
    import rkeras

    rkeras.utils.clear_session()
    yield
