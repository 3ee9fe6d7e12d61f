"""Which functions count as the same for a checkpoint."""

import functools

from parallelize import processed, threaded
from parallelize.mapping.checkpoint.identity import identity_of


def made(text):
    namespace = {}
    exec(text, namespace)
    return namespace["f"]


def test_comments_places_and_documentation_do_not_matter():
    one = made("def f(x):\n    'one'\n    return x + 1")
    two = made("\n\n# text\ndef f(x):\n    'two'\n    # three\n    return x + 1")
    assert identity_of(two).differs_from(identity_of(one)) is None


def test_code_constants_names_and_defaults_matter():
    first = identity_of(made("def f(x, y=1):\n    return [x + 1 for _ in 'ab']"))
    for text in (
        "def f(x, y=1):\n    return [x + 2 for _ in 'ab']",
        "def f(x, y=1):\n    return [x - 1 for _ in 'ab']",
        "def f(x, y=1):\n    return [x + 1 for _ in 'abc']",
        "def f(x, y=2):\n    return [x + 1 for _ in 'ab']",
        "def f(x, y=1):\n    return [x + y for _ in 'ab']",
    ):
        assert identity_of(made(text)).differs_from(first) == "code"


def test_sets_of_constants_have_one_order():
    text = "def f(x):\n    return x in {'a', 'b', 'c', 'd'}"
    assert identity_of(made(text)) == identity_of(made(text))


def test_another_python_has_other_code():
    mine = identity_of(made("def f(x): return x + 1"))
    other = identity_of(made("def f(x): return x + 2"))._replace(python="cpython-27")
    assert mine.differs_from(other) is None


def test_functions_without_code_differ_by_name():
    assert identity_of(len).differs_from(identity_of(len)) is None
    assert identity_of(len).differs_from(identity_of(max)) == "name"


def double(x):
    return 2 * x


async def later(x):
    return 2 * x


class Shop:
    @threaded
    def sell(self, x):
        return x


def test_a_decorated_function_has_its_own_name_and_code():
    for decorate in (threaded, processed, functools.lru_cache):
        assert identity_of(decorate(double)).name.endswith(
            "test_function_identity:double"
        )
    target = threaded(double)._row_target()
    assert identity_of(target) == identity_of(double)
    assert identity_of(threaded(later)._row_target()) == identity_of(later)
    assert identity_of(Shop().sell._row_target()).name.endswith(":Shop.sell")


def test_the_arguments_of_a_partial_are_part_of_it():
    one, two = (functools.partial(double, x=n) for n in (1, 2))
    assert identity_of(one).differs_from(identity_of(two)) == "code"
