"""Which executor a name stands for, and the shared executors."""
