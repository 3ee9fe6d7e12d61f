from collections.abc import Sequence

class Metric:
    def add_metric(self, labels: Sequence[str], value: float) -> None: ...

class GaugeMetricFamily(Metric):
    def __init__(
        self, name: str, documentation: str, *, labels: Sequence[str]
    ) -> None: ...

class CounterMetricFamily(Metric):
    def __init__(
        self, name: str, documentation: str, *, labels: Sequence[str]
    ) -> None: ...
