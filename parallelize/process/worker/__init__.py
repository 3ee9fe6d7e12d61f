"""The worker's side: running tasks and sending their outcomes."""
