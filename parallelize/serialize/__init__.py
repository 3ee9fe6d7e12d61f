"""Pickling of values and functions, and diagnosis of what cannot be pickled."""

#: Types of numbers and constants: pickling their values cannot fail, nor unpickling.
NUMBERS: frozenset[type] = frozenset((int, float, bool, type(None)))

#: ... with those of texts, whose values may be large.
PLAIN: frozenset[type] = NUMBERS | {str, bytes}
