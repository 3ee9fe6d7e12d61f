"""What a map keeps in a file, so that a later run continues where this one ended.

* `window` says which rows are called, and when results are written.
* `digest` says which row is which, from one run of the program to the next.
* `identity` says which function has written a file.
* `store` is the file; `insight.checkpoint` shows what it holds.

The first map that has a checkpoint imports these.
"""
