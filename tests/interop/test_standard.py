"""The standard library's own clients of executors."""

import asyncio
import concurrent.futures

import interop_tasks
import pytest


def test_run_in_executor_as_a_client(client_executor):
    async def main():
        loop = asyncio.get_running_loop()
        calls = [
            loop.run_in_executor(client_executor, interop_tasks.square, x)
            for x in range(10)
        ]
        assert await asyncio.gather(*calls) == [x * x for x in range(10)]
        with pytest.raises(LookupError, match="7"):
            await loop.run_in_executor(client_executor, interop_tasks.refuse, 7)

    asyncio.run(main())


def test_a_loop_takes_ours_for_its_default():
    from parallelize import ThreadPoolExecutor

    class Ours(ThreadPoolExecutor, concurrent.futures.ThreadPoolExecutor):
        """What `set_default_executor` insists on."""

    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(TypeError):
            loop.set_default_executor(ThreadPoolExecutor(1))
        assert await asyncio.to_thread(interop_tasks.square, 3) == 9

    asyncio.run(main())


def test_wait_and_as_completed_as_a_client(client_executor):
    futures = [client_executor.submit(interop_tasks.square, x) for x in range(20)]
    done, pending = concurrent.futures.wait(futures, timeout=30)
    assert (len(done), len(pending)) == (20, 0)
    results = [f.result() for f in concurrent.futures.as_completed(futures)]
    assert sorted(results) == [x * x for x in range(20)]


def test_wait_for_the_first_error(client_executor):
    bad = client_executor.submit(interop_tasks.refuse, 1)
    done, _ = concurrent.futures.wait(
        [bad], return_when=concurrent.futures.FIRST_EXCEPTION
    )
    assert done == {bad}


def test_futures_of_both_kinds_wait_together(client_executor):
    with concurrent.futures.ThreadPoolExecutor(1) as stock:
        futures = [stock.submit(abs, -1), client_executor.submit(abs, -2)]
        assert {f.result() for f in concurrent.futures.as_completed(futures)} == {1, 2}
