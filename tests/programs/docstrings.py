"""Runs the examples of the docstrings of all public names; prints what was not as shown."""

import doctest
import sys

import parallelize

finder = doctest.DocTestFinder(exclude_empty=True)
runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
skipped = set(sys.argv[1:])
found = set()
# Its example prints at a time of its own: when its pool has been collected.
names = sorted(
    set(parallelize.__all__) - skipped, key=lambda name: name == "per_worker"
)
for name in names:
    for test in finder.find(getattr(parallelize, name), name, globs={}):
        if test.examples and test.name not in found:
            found.add(test.name)
            # The examples are scripts: their functions belong to __main__.
            test.globs = {"__name__": "__main__", "__file__": __file__}
            runner.run(test)
            parallelize.shutdown()
print(len(found), "docstrings,", runner.failures, "failures")
