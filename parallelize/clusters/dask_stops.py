"""Asks a call that runs on a worker of Dask to stop, as Dask cannot stop it.

```
 program                             a worker of Dask
 ask ── which worker runs it? ─ run ──▶ _note ──▶ the call: stopping()
```
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.runtime.blocking import here

if TYPE_CHECKING:
    from collections.abc import Callable

    import distributed

__all__ = ("ask", "run_noted")

#: Whether the calls that this worker runs were asked to stop, by Dask's keys. Single
#: operations only, each of which is atomic.
_asked: dict[str, bool] = {}


def run_noted(run: Callable[..., Any], *args: Any) -> Any:
    """Run a call in a worker, where it can be asked to stop."""
    import distributed

    key = distributed.get_worker().get_current_task()
    before, here.asked = here.asked, partial(_asked.__getitem__, key)
    _asked[key] = False
    try:
        return run(*args)
    finally:
        here.asked = before
        _asked.pop(key, None)


def _note(key: str) -> None:
    if key in _asked:
        _asked[key] = True


async def ask(client: distributed.Client, key: str) -> None:
    """Ask a call to stop if a worker runs it now."""
    workers = await client.scheduler.call_stack(keys=[key])
    if workers:
        await client.run(_note, key, workers=list(workers), asynchronous=True)
