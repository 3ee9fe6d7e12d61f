"""The public API: decorators, maps and `use`, and the objects they return."""
