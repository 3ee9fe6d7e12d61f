import io, re, sys
import parallelize
from parallelize import ProcessPoolExecutor, TaskTimeout, processed


def stuck(folder):
    with open(folder + "/begun", "w"):
        pass
    re.match(r"(a+)+$", "a" * 60 + "b")
