"""What goes between the processes of a pool."""
