from collections.abc import Callable, Iterable, Mapping, Sequence

class CallbackOptions: ...

class Observation:
    def __init__(
        self, value: float, attributes: Mapping[str, str] | None = None
    ) -> None: ...

class Meter:
    def create_observable_gauge(
        self,
        name: str,
        callbacks: Sequence[Callable[[CallbackOptions], Iterable[Observation]]],
        unit: str = "",
        description: str = "",
    ) -> object: ...
    def create_observable_counter(
        self,
        name: str,
        callbacks: Sequence[Callable[[CallbackOptions], Iterable[Observation]]],
        unit: str = "",
        description: str = "",
    ) -> object: ...

class MeterProvider:
    def get_meter(self, name: str) -> Meter: ...

def get_meter_provider() -> MeterProvider: ...
