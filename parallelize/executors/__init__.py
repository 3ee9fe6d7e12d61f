"""One file per kind of executor; `base` has what they share.

Nothing is imported here: each file is loaded when it is first used.
"""
