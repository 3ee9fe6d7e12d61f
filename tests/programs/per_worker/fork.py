"""A forked child makes its own objects, and leaves those of its parent alone."""

import os
import sys

import keepers

keepers.second()
child = os.fork()
keepers.second()
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    sys.exit()
