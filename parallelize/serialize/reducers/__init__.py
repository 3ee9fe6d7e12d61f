"""Reducers for objects that pickle cannot handle by itself."""
