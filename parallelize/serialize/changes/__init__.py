"""Detection of what a script defines, and of what it changes elsewhere."""
