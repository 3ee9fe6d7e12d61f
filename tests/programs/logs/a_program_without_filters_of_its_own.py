import warnings
from parallelize import processed


@processed
def work():
    warnings.warn("old", DeprecationWarning)
    warnings.warn("new", FutureWarning)


work().result()
work().result()
