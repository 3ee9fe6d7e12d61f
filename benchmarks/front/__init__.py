"""What the README and the first pages show, made of runs and of the long tables."""
