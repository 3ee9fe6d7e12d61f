"""What a map keeps in a file, so that a later run continues where this one ended.

* `digest` says which row is which, from one run of the program to the next.
* `identity` says which function has written a file.
* `store` is the file.
* `summary` shows what a file holds, for the command line.

`parallelize.mapping.checkpointed` uses these. They are imported by the first map that
has a checkpoint.
"""
