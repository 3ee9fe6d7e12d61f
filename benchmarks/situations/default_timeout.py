"""`socket.setdefaulttimeout(0.5)`, then a pause of a second between calls"""

import socket
import time

from benchmarks.faults import check, echo, pool

if __name__ == "__main__":
    socket.setdefaulttimeout(0.5)
    here = pool()
    first = here.submit(echo, 1)(30)
    time.sleep(1)
    check(here, [(echo, first + 1)], [2])
