"""The public signatures are those of tests/public_signatures.txt.

A change of the interface is seen in the diff of that file.
``python tests/test_signatures.py`` writes it again.
"""

import inspect
import sys

import parallelize
from fenced import ROOT

TEXT = ROOT / "tests" / "public_signatures.txt"
HEAD = "# Written by `python tests/test_signatures.py`, from the code.\n"

#: Public methods without an underscore, and besides these.
SPECIAL = {"__call__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__iter__"}
SPECIAL |= {"__next__", "__aiter__", "__anext__", "__await__", "__get__"}


def signatures():
    for name in sorted(parallelize.__all__):
        public = getattr(parallelize, name)
        # Its overloads are for type checkers; what it takes at run time is here.
        if inspect.isclass(public):
            yield from of_class(name, public)
        elif callable(public):
            yield f"{name}{signature(public)}"
        else:
            yield f"{name}: {type(public).__name__}"


def of_class(name, public):
    if not public.__module__.startswith("parallelize"):
        yield f"class {name}: {public.__module__}.{public.__qualname__}"
        return
    bases = ", ".join(base.__name__ for base in public.__bases__)
    yield f"class {name}({bases}){own_init(public)}"
    for attribute in sorted(dir(public)):
        owner = next(each for each in public.__mro__ if attribute in vars(each))
        shown = attribute in SPECIAL or not attribute.startswith("_")
        if shown and owner.__module__.startswith("parallelize"):
            yield f"    {member(attribute, vars(owner)[attribute])}"


def own_init(public):
    owner = next(each for each in public.__mro__ if "__init__" in vars(each))
    if owner.__module__.startswith("parallelize"):
        return f": __init__{signature(owner.__init__)}"
    return ""


def member(name, found):
    found = getattr(found, "__func__", found)  # of a class method
    if inspect.isfunction(found):
        return f"{name}{signature(found)}"
    return f"{name}: attribute"


def signature(function):
    """Annotations as they are in the code; of the Pythons each writes its own otherwise."""
    found = inspect.signature(function)
    parameters = [
        each.replace(annotation=Written(each.annotation))
        if each.annotation is not each.empty
        else each
        for each in found.parameters.values()
    ]
    returned = found.return_annotation
    if returned is not found.empty:
        returned = Written(returned)
    return found.replace(parameters=parameters, return_annotation=returned)


class Written:
    """An annotation that is shown as it is written."""

    def __init__(self, annotation):
        self._annotation = annotation

    def __repr__(self):
        if isinstance(self._annotation, str):
            return self._annotation
        return inspect.formatannotation(self._annotation)


def test_public_signatures_are_the_committed_ones():
    assert [*signatures()] == TEXT.read_text(encoding="utf-8").splitlines()[1:]


if __name__ == "__main__":
    TEXT.write_text(HEAD + "".join(f"{line}\n" for line in signatures()))
    sys.exit()
