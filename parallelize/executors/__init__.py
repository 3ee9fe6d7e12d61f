"""One file a backend; `base` says what they have in common.

Nothing is imported here: each backend is loaded when it is first used.
"""
