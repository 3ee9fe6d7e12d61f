"""How the properties of the pure logic are tested: on the same examples in each run."""

from hypothesis import HealthCheck, settings

#: Unit tests find the same examples in each run, however slow the machine is.
steady = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

#: The same for state machines.
machine = settings(steady, max_examples=40, stateful_step_count=30)
