"""`python - < script`, with a function, a class and a sentinel"""

import subprocess
import sys

from benchmarks.faults import tell

SCRIPT = """
import sys
sys.argv = ["-", PEER]
from benchmarks.faults import check, pool

MISSING = object()
class Point:
    x = 1

def call(default=MISSING):
    return default is MISSING, Point().x

if __name__ == "__main__":
    check(pool(), [(call,)], [(True, 1)])
"""

if __name__ == "__main__":
    text = SCRIPT.replace("PEER", repr(sys.argv[1]))
    subprocess.run([sys.executable, "-"], input=text, text=True, check=False)
