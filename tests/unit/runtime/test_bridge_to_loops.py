"""How other threads reach an event loop, and what forked children have anew."""

import asyncio
import threading

from parallelize.runtime import locks
from parallelize.runtime.loop_thread import call_soon, until, wake


def in_a_thread(call):
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_a_future_of_a_loop_is_completed_by_another_thread():
    async def main():
        wakers = []
        future = until(wakers.append)
        assert not future.done()
        in_a_thread(wakers[0])
        await asyncio.wait_for(future, 20)
        return future.result()

    assert asyncio.run(main()) is None


def test_arguments_of_a_waker_are_ignored_and_it_may_be_called_again():
    async def main():
        wakers = []
        future = until(wakers.append)
        wakers[0]("a future that is done")
        wakers[0]()
        wake(future)
        await asyncio.wait_for(future, 20)
        await asyncio.sleep(0)  # the second and the third have their turn

    asyncio.run(main())


def test_a_waker_may_be_called_while_it_is_registered():
    async def main():
        await asyncio.wait_for(until(lambda waker: waker()), 20)

    asyncio.run(main())


def test_a_waker_has_no_effect_on_a_future_that_was_cancelled():
    async def main():
        future = until(lambda _: None)
        future.cancel()
        wake(future)
        await asyncio.sleep(0)
        assert future.cancelled()

    asyncio.run(main())


def test_nothing_happens_when_the_loop_has_ended():
    called = []

    async def main():
        return asyncio.get_running_loop(), until(called.append)

    loop, future = asyncio.run(main())
    wake(future)
    called[0]()
    call_soon(loop, called.append, "never")
    assert not future.done()
    assert len(called) == 1


def test_a_lock_of_a_module_is_new_in_a_forked_child(monkeypatch):
    hooks = {}
    monkeypatch.setattr(locks, "at_fork", lambda **new: hooks.update(new))
    new_lock = locks.reentrant("pool")
    held = new_lock()
    module = {"_lock": held}
    locks.renew_in_child(module, "_lock", new_lock)
    assert module["_lock"] is held  # in this process
    assert list(hooks) == ["after_in_child"]
    with held:
        hooks["after_in_child"]()
        assert module["_lock"] is not held
        in_a_thread(lambda: locks.held(module["_lock"], lambda: None))
