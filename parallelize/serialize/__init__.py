"""Pickling of values and functions, and diagnosis of what cannot be pickled."""
