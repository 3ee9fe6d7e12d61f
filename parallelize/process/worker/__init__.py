"""The worker's side: what it runs, and what it says."""
