"""The process engine: the parent's side (`pool`) and the worker's side (`worker`)."""
