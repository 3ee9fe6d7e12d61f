"""Interpreters beside the main one, in threads of this process (Python 3.14+)."""
