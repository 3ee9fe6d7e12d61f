"""The recorder that executors look for, and functions that record when they run."""
