"""Executors on third-party engines: Dask, Ray."""
