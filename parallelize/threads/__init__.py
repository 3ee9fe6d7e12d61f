"""The thread engine: the queue of a pool, its threads, and the calls they run."""
