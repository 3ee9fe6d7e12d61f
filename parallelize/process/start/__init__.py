"""How workers start: the launcher, the server it asks."""
