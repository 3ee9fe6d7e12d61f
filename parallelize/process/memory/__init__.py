"""Memory shared by the processes of a pool."""
