"""What waits for a worker or runs in one, by kinds."""
