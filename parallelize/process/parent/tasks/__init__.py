"""The kinds of tasks that wait for a worker or run in one."""
