"""What a call gives, and how others wait for it."""
