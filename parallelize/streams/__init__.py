"""Streams: generators that run in a worker while their items are read here."""
