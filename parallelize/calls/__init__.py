"""A call on its way to an executor, and what may be called."""
