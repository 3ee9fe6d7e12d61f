"""Tools that show what the program does; each module is loaded on first use."""
