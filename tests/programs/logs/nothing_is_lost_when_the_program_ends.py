import logging
from parallelize import processed


@processed
def work(x):
    logging.warning("item %d", x)


logging.basicConfig(format="%(processName)s %(message)s")
for x in range(20):
    work(x)
