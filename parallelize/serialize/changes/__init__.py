"""How it is seen what a script has, and what it has changed."""
