"""
>>> from parallelize import ProcessPoolExecutor, processed
>>> BASE = 10
>>> class Point:
...     v = 2
>>> @processed
... def call(x): return x + BASE + Point.v
>>> call(1).result()
13
>>> BASE = 20
>>> list(call.map([1, 2]))
[23, 24]
>>> with ProcessPoolExecutor(1) as ex:
...     ex.submit(lambda: Point).result() is Point
True
"""
