"""The workers' replica of the program's `__main__`."""
