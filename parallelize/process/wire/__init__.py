"""What the processes of a pool exchange: frames, messages and the shared page."""
