"""Maps over asynchronous input, which only ``async for`` can read.

* `window` reads the input in the event loop of the map's reader.
* `stepper` reads, in a thread, a synchronous input beside asynchronous ones.
"""
