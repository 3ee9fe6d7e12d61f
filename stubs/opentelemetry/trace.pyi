import enum
from collections.abc import Mapping

from opentelemetry.context import Context

class StatusCode(enum.Enum):
    UNSET = 0
    OK = 1
    ERROR = 2

class Status:
    def __init__(
        self, status_code: StatusCode = ..., description: str | None = None
    ) -> None: ...

class Span:
    def add_event(
        self,
        name: str,
        attributes: Mapping[str, str | int] | None = None,
        timestamp: int | None = None,
    ) -> None: ...
    def set_attributes(self, attributes: Mapping[str, str | int]) -> None: ...
    def set_status(self, status: Status) -> None: ...
    def end(self, end_time: int | None = None) -> None: ...

class Tracer:
    def start_span(
        self,
        name: str,
        context: Context | None = None,
        *,
        attributes: Mapping[str, str | int] | None = None,
    ) -> Span: ...

class TracerProvider: ...

def get_tracer(
    instrumenting_module_name: str, *, tracer_provider: TracerProvider | None = None
) -> Tracer: ...
def set_span_in_context(span: Span, context: Context | None = None) -> Context: ...
