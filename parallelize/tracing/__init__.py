"""The recorder that executors ask, and functions that note when they run."""
