"""The process engine: the parent's side (`parent`) and the worker's side (`worker`)."""
