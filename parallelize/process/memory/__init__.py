"""Memory that the processes of a pool share."""
