"""Calls on their way to an executor, and the callables that they run."""
