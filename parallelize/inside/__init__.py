"""What a call can ask of the worker that runs it."""
