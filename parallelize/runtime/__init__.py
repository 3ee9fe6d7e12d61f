"""What stands under all else: locks, clocks, threads, the program's ends."""
