"""What is in a Dask cluster: objects that were put there, and calls.

```
 Scattered ── there() ──▶ put ── its worker died ──▶ put again, from its `Content`
     ▲ ▲
     │ └ objects of ┐
 CallRef ── life() ─┴▶ submit ▸ end ── a worker died with what it needs ──▶ submit again
     ▲                          └ the result arrives, or remains in the cluster
 CallRef of a call that depends on it: waits until it is `available`
```

Dask computes results again that died with a worker, but forgets what depends on data
that was put, and reports that as a cancellation. So what was put has a copy in the
program as long as a call in flight may need it, within bounds.

All this happens in the thread of the client, except where it says so.
"""

from __future__ import annotations

import asyncio
import weakref
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.clusters import payloads
from parallelize.clusters.call import Remote
from parallelize.clusters.dask_errors import LOSSES, DataLost, reason_of
from parallelize.clusters.dask_stops import run_noted
from parallelize.clusters.payloads import LargePayload, Payload
from parallelize.runtime import locks

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Sequence

    import distributed

    from parallelize.clusters.dask_link import Link
    from parallelize.clusters.payloads import RemoteCall

__all__ = ("CallRef", "Content", "Copies", "Recipe", "Scattered")

#: The most bytes of copies that are kept in the program to be put again.
COPIED_BYTES = 512 << 20

#: Seconds; not infinity, as it is sent to the scheduler.
FOREVER = 1e7

_numbers = count()  # of calls, to make their keys unique


class Content:
    """What is put again if it is lost, as long as this lives.

    Attributes:
        payload: The object itself.
    """

    __slots__ = ("__weakref__", "payload")

    def __init__(self, payload: Payload) -> None:
        self.payload: Payload = payload


class Copies:
    """Copies of what was put: the caller may change the objects afterwards."""

    def __init__(self) -> None:
        # Guards the number; a leaf lock. Reentrant, as copies are garbage collected in
        # any thread.
        self._lock = locks.reentrant("copies")()
        self._bytes = 0

    def copied(self, payload: Payload) -> Content:
        """Return a copy."""
        buffers = [bytes(buffer) for buffer in payload.buffers]
        content = Content(type(payload)(payload.data, buffers))
        nbytes = content.payload.nbytes
        self._add(nbytes)
        weakref.finalize(content, self._add, -nbytes).atexit = False
        return content

    def have_room(self, nbytes: int = 0) -> bool:
        """Whether this number of bytes more may be kept only for the case of a loss."""
        return self._bytes + nbytes <= COPIED_BYTES

    def _add(self, nbytes: int) -> None:
        with self._lock:
            self._bytes += nbytes


class Scattered:
    """An object that is put into the cluster, and again if it is lost there."""

    def __init__(self, link: Link, content: Content) -> None:
        """Put the object soon; may be called in any thread."""
        self._link = link
        self._theirs: distributed.Future | None = None
        self._unsent: Content | None = content  # until it has been put
        self._content = weakref.ref(content)
        self._putting: asyncio.Task[distributed.Future] | None = None
        link.soon(self._begin)

    def _begin(self) -> None:
        self._link.begin(self.there(), _ignore)

    @property
    def content(self) -> Content | None:
        """What is put again, if that is still known; for any thread."""
        return self._content()

    @content.setter
    def content(self, content: Content) -> None:
        self._content = weakref.ref(content)

    @property
    def at_once(self) -> distributed.Future | None:
        """Dask's future if the object is there, as far as known; for any thread."""
        theirs = self._theirs
        return theirs if theirs is not None and theirs.status == "finished" else None

    @property
    def is_lost(self) -> bool:
        """Whether it was put and is gone; for any thread."""
        return self._theirs is not None and self.at_once is None

    async def there(self) -> distributed.Future:
        """Return Dask's future when the object is in the cluster."""
        theirs = self.at_once
        if theirs is not None:
            return theirs
        if self._putting is None:
            self._putting = asyncio.ensure_future(self._put())
        return await asyncio.shield(self._putting)

    async def _put(self) -> distributed.Future:
        try:
            content = self._unsent or self._content()
            if content is None:
                msg = "an argument died with its worker, and the program has no copy"
                raise DataLost(msg)
            # Without workers, the pulse of the link decides how long to wait.
            theirs = await self._link.client.scatter(
                content.payload, hash=False, timeout=FOREVER, asynchronous=True
            )
            self._theirs, self._unsent = theirs, None
            return theirs
        finally:
            self._putting = None


class Recipe(NamedTuple):
    """What makes a call.

    Attributes:
        run: What the worker calls.
        remote: Its first argument.
        objects: Its further ones: `Scattered`, `CallRef`, or small payloads.
        retries: The number of retries that Dask makes.
        losses: The number of times that it is submitted again after a loss.
        keep: What must live until the call has ended.
        lost: Called when the call has been lost, before it is submitted again.
    """

    run: Callable[..., Any]
    remote: RemoteCall
    objects: Sequence[Any]
    retries: int
    losses: int
    keep: Sequence[Any]
    lost: Callable[[], object]

    def without_results(self) -> Recipe:
        """Return one that keeps no results of other calls, but their recipes."""
        thinned = [
            Made.by(each) if isinstance(each, CallRef) else each
            for each in self.objects
        ]
        return self._replace(objects=thinned)


class Made:
    """The result of a call, which is made again if it is needed again."""

    __slots__ = ("_link", "_recipe", "_ref")

    def __init__(self, link: Link, recipe: Recipe, ref: CallRef) -> None:
        self._link = link
        self._recipe = recipe
        self._ref = weakref.ref(ref)

    @staticmethod
    def by(ref: CallRef) -> Made | Payload | None:
        """Return what stands for a call that has ended; None for one that failed."""
        recipe = ref._recipe
        return ref._value if recipe is None else Made(ref._link, recipe, ref)

    async def available(self) -> distributed.Future:
        """Return Dask's future, of the former call or of another one like it."""
        ref = self._ref()
        if ref is None:
            ref = CallRef(self._link, self._recipe)
            self._ref = weakref.ref(ref)
            self._link.begin(ref.life(), _ignore)
        return await ref.available()


class CallRef:
    """A call in the cluster, and its result as long as that remains there.

    Attributes:
        dropped: Whether the call was cancelled or stopped here.
        fetching: What has the result when it arrives, while a reader's time is over.
    """

    def __init__(self, link: Link, recipe: Recipe) -> None:
        """Submit the call if all it needs is there; may be called in any thread."""
        self.dropped: bool = False
        self.fetching: concurrent.futures.Future[Payload] | None = None
        self._link = link
        self._recipe: Recipe | None = recipe
        self._theirs: distributed.Future | None = None
        self._value: Payload | None = None  # a result that has arrived
        self._lives = True  # until its end has been seen
        self._watchers: list[asyncio.Future[None]] = []
        objects = [_at_once(each) for each in recipe.objects]
        if not any(each is None for each in objects):
            self._submit(recipe, objects)

    @property
    def key(self) -> str | None:
        """Dask's key of the call once it is submitted; for any thread."""
        return None if self._theirs is None else self._theirs.key

    @property
    def cannot_run(self) -> bool:
        """Whether the call surely has not begun; for any thread."""
        recipe = self._recipe
        return self._theirs is None or (
            recipe is not None
            and any(
                isinstance(each, CallRef) and each._lives for each in recipe.objects
            )
        )

    @property
    def at_once(self) -> distributed.Future | None:
        """Dask's future if there is one that is not lost; for any thread."""
        theirs = self._theirs
        return None if theirs is None or theirs.status == "cancelled" else theirs

    def _submit(self, recipe: Recipe, objects: Sequence[Any]) -> None:
        client = self._link.client
        # Dask groups keys by the part before the dash, and its dashboard shows that.
        name = recipe.remote.name.replace("-", "_").replace("<", "").replace(">", "")
        self._theirs = client.submit(
            run_noted,
            recipe.run,
            recipe.remote,
            *objects,
            key=f"{name}-{client.id}-{next(_numbers)}",
            retries=recipe.retries,
            pure=False,
        )

    async def life(self) -> object:
        """Return the answer of the call; submit it again when it is lost."""
        self._lives, recipe = True, self._recipe
        assert recipe is not None
        answer: object = None
        try:
            answer = await self._attempts(recipe)
            return answer
        finally:
            self._lives = False
            remains = type(answer) is Remote
            self._recipe = recipe.without_results() if remains else None
            self._value = answer if isinstance(answer, Payload) else None
            del answer
            self._tell()

    async def _attempts(self, recipe: Recipe) -> object:
        for _ in range(recipe.losses + 1):
            if self.at_once is None:
                try:
                    await self._submit_when_ready(recipe)
                except (OSError, TimeoutError):  # the worker that was to keep it died
                    await asyncio.sleep(0.2)
                    continue
            answer = await self._end(stays=recipe.run is payloads.run_call)
            if self.dropped or not self._is_lost(answer):
                return answer
            recipe.lost()
        msg = f"its workers died {recipe.losses + 1} times, and data with them"
        raise DataLost(msg)

    async def _submit_when_ready(self, recipe: Recipe) -> None:
        objects = [await _ready(each) for each in recipe.objects]
        if self.dropped:
            raise asyncio.CancelledError
        self._submit(recipe, objects)
        self._tell()

    async def _end(self, *, stays: bool) -> object:
        """Wait for the end of what was submitted; return the answer or the error."""
        import distributed

        client, theirs = self._link.client, self._theirs
        assert theirs is not None
        try:
            with client.as_current():
                ended = distributed.wait([theirs])  # in this thread it can be awaited
            await ended
            if stays and theirs.status == "finished" and theirs.type is LargePayload:
                return Remote(self)
            # The client fetches what is requested together in one message.
            return await client.gather(theirs, asynchronous=True)
        except Exception as error:  # noqa: BLE001 - it belongs to the call
            # Dask keeps the error as long as its future, which this frame refers to.
            return error.with_traceback(None)

    def _is_lost(self, answer: object) -> bool:
        """Whether what was submitted is gone without having been cancelled."""
        client, theirs = self._link.client, self._theirs
        if theirs is None or theirs.status != "cancelled" or client.status != "running":
            return False
        reason = reason_of(answer)
        if reason in LOSSES:
            return False
        # Dask forgets the keys that the program has cancelled by its client.
        return reason is not None or theirs.key in client.futures

    def _tell(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            if not watcher.done():
                watcher.set_result(None)

    async def available(self) -> distributed.Future:
        """Return Dask's future for a call that depends on this one, or a reader."""
        while (theirs := self.at_once) is None:
            if not self._lives:
                if self._recipe is None or self.dropped:
                    msg = "a result died with its worker, and cannot be made again"
                    raise DataLost(msg)
                self._lives = True
                self._link.begin(self.life(), _ignore)
            watcher = asyncio.get_running_loop().create_future()
            self._watchers.append(watcher)
            await watcher
        return theirs

    async def fetch(self) -> Payload:
        """Return a result that remained in the cluster."""
        while True:
            theirs = await self.available()
            try:
                payload: Payload = await self._link.client.gather(
                    theirs, asynchronous=True
                )
            except Exception as error:
                if not self._is_lost(error):
                    raise
            else:
                return payload

    def drop(self) -> None:
        """Do not start it, and keep no result."""
        self.dropped = True
        self._recipe = None
        theirs = self._theirs
        if theirs is not None and self._link.client.status == "running":
            self._link.soon(
                partial(self._link.client.cancel, [theirs], asynchronous=True)
            )
        self._tell()


def _ignore(answer: object) -> None:
    """Others see how it ends."""


def _at_once(given: Any) -> Any:
    """What to submit for an object of a recipe; None if it has to be awaited."""
    if isinstance(given, Made):
        return None
    return given.at_once if isinstance(given, (Scattered, CallRef)) else given


async def _ready(given: Any) -> Any:
    """What to submit for an object of a recipe, when that is in the cluster."""
    if isinstance(given, Scattered):
        return await given.there()
    if isinstance(given, (CallRef, Made)):
        return await given.available()
    if given is None:
        msg = "a result died with its worker, and cannot be made again"
        raise DataLost(msg)
    return given
