"""The bottom layer: locks, clocks, threads, and what runs at exit and after a fork."""
