"""The thread engine: the queue of a pool, its threads, and what they run."""
