"""The program's side: the pool, its dispatcher, its hold on workers."""
