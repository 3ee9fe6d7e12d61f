"""Async calls in threads of this process: many at once on each event loop."""
