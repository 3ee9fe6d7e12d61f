"""The one map, over any executor: lazy, bounded, chunked by measured time.

* `input` reads the input, `chunk_size` decides how many rows go together, `order` in
  which order results are given.
* `window` holds these together: it starts calls, at most a window ahead of the reader,
  and takes in what they came to.
* `iterator` is what the reader holds, `reader` what it asks when it has nothing left.
"""

from parallelize.mapping.iterator import MapIterator, start_map

__all__ = ("MapIterator", "start_map")
