"""Executors on the engines of others: Dask, Ray."""
