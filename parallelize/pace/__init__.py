"""Pacing: how often calls start, and how long they wait before another attempt."""
