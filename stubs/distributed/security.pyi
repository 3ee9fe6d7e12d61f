from typing import Self

class Security:
    tls_ca_file: str
    tls_client_key: str
    tls_client_cert: str
    tls_scheduler_key: str
    tls_scheduler_cert: str
    tls_worker_key: str
    tls_worker_cert: str
    def __init__(
        self, require_encryption: bool | None = ..., **kwargs: str | None
    ) -> None: ...
    @classmethod
    def temporary(cls, **kwargs: str) -> Self: ...
