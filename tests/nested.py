"""Functions that call and wait for each other, found by workers by their names."""

import os

from parallelize import (
    as_completed,
    gather,
    processed,
    thread_map,
    threaded,
    wait,
)


@threaded(max_workers=1)
def in_thread(n):
    if n < 2:
        return n
    first, second = in_process(n - 1), in_process(n - 2)
    return first.result() + second.result()


@processed(max_workers=1)
def in_process(n):
    if n < 2:
        return n
    first, second = in_thread(n - 1), in_thread(n - 2)
    return first.result() + second.result()


@processed(max_workers=2)
def pids(n):
    """The processes in which a recursion of process calls runs."""
    if n == 0:
        return {os.getpid()}
    return pids(n - 1).result() | pids(n - 1).result() | {os.getpid()}


# A map inside a map inside a map, by functions that each have a small pool.


@threaded(max_workers=1)
def leaf_1(x):
    return x + 1


@threaded(max_workers=1)
def twig_1(x):
    return sum(leaf_1.map(range(x)))


@threaded(max_workers=1)
def branch_1(x):
    return sum(twig_1.map(range(x)))


@processed(max_workers=1)
def process_leaf_1(x):
    return x + 1


@processed(max_workers=1)
def process_twig_1(x):
    return sum(process_leaf_1.map(range(x)))


@processed(max_workers=1)
def process_branch_1(x):
    return sum(process_twig_1.map(range(x)))


@threaded(max_workers=2)
def mixed_leaf(x):
    return x + 1


@processed(max_workers=2)
def mixed_twig(x):
    return sum(mixed_leaf.map(range(x)))


@threaded(max_workers=2)
def mixed_branch(x):
    return sum(mixed_twig.map(range(x)))


@processed(max_workers=2)
def mixed_root(x):
    return sum(mixed_branch.map(range(x)))


def plain_root(x):
    """What all of these come to."""
    return sum(sum(sum(z + 1 for z in range(y)) for y in range(x)) for x in range(x))


# Random trees of calls.


def run_tree(tree):
    """Run a tree (how, kinds of the calls below, trees below) and count its calls."""
    how, kinds, below = tree
    if not below:
        return 1
    calls = [RUNNERS[kind] for kind in kinds]
    return 1 + JOINS[how](calls, below)


def by_result(calls, trees):
    return sum(f.result() for f in [call(tree) for call, tree in zip(calls, trees)])


def by_result_backwards(calls, trees):
    futures = [call(tree) for call, tree in zip(calls, trees)]
    return sum(future.result() for future in reversed(futures))


def by_timed_result(calls, trees):
    futures = [call(tree) for call, tree in zip(calls, trees)]
    return sum(future.result(timeout=60) for future in futures)


def by_wait(calls, trees):
    futures = [call(tree) for call, tree in zip(calls, trees)]
    return sum(future.result() for future in wait(futures).done)


def by_as_completed(calls, trees):
    futures = [call(tree) for call, tree in zip(calls, trees)]
    return sum(future.result() for future in as_completed(futures))


def by_gather(calls, trees):
    return sum(gather(*[call(tree) for call, tree in zip(calls, trees)]).result())


def by_argument(calls, trees):
    future = calls[0](trees[0])
    for call, tree in zip(calls[1:], trees[1:]):
        future = add_in_one(future, call(tree))
    return future.result()


def by_proxy(calls, trees):
    proxies = [call(tree).proxy() for call, tree in zip(calls, trees)]
    return sum(int(proxy) for proxy in proxies)


def by_map(calls, trees):
    return sum(calls[0].map(trees))


def by_unordered_map(calls, trees):
    return sum(calls[0].map(trees, ordered=False))


def by_timed_map(calls, trees):
    return sum(calls[0].map(trees, timeout=60))


def by_helper(calls, trees):
    return sum(thread_map(run_tree, trees))


JOINS = [
    by_result,
    by_result_backwards,
    by_timed_result,
    by_wait,
    by_as_completed,
    by_gather,
    by_argument,
    by_proxy,
    by_map,
    by_unordered_map,
    by_timed_map,
    by_helper,
]


@threaded(max_workers=1)
def in_one(tree):
    return run_tree(tree)


@threaded(max_workers=2)
def in_two(tree):
    return run_tree(tree)


@threaded(max_workers=1, limit=1)
def in_one_limited(tree):
    return run_tree(tree)


@threaded
def in_shared(tree):
    return run_tree(tree)


@processed(max_workers=1)
def in_one_process(tree):
    return run_tree(tree)


@threaded(max_workers=1)
def add_in_one(a, b):
    return a + b


RUNNERS = [in_one, in_two, in_one_limited, in_shared, in_one_process]


def count(tree):
    return 1 + sum(map(count, tree[2]))
