"""Which executor a word means, and the shared ones."""
