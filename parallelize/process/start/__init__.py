"""How workers start: the launcher, and the server that forks them."""
