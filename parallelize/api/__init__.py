"""What users write: decorators, maps, `use`; what they get of it."""
