"""The parent process's side: the pool, its dispatcher and its worker handles."""
