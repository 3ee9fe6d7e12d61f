"""What stands in a pickle for what cannot be pickled as it is."""
