"""The one map, for any executor: lazy, bounded, with chunks sized by measured time.

* `input` reads the input, `chunk_size` decides how many rows are sent together, `order`
  in which order results are yielded.
* `window` holds these together: it starts calls, at most a window ahead of the reader,
  and receives their outcomes.
* `iterator` is what the user iterates over, `reader` provides it with further items.
"""

from parallelize.mapping.iterator import MapIterator, start_map

__all__ = ("MapIterator", "start_map")
