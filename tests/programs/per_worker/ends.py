"""Every kind of worker makes objects; then the program ends in one of three ways."""

import sys

import keepers
from parallelize import processed, threaded


@threaded
async def use_session():
    return await keepers.session()


for call in (threaded(keepers.use_second), processed(keepers.use_second)):
    print(*call().result())
print(*keepers.second())
use_session().result()
if sys.argv[1] == "by an error":
    raise LookupError("the end")
if sys.argv[1] == "by exit":
    sys.exit(3)
