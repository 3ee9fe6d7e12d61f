"""What workers have of the program's `__main__`."""
