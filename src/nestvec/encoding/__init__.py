"""What turns raw model output into the vectors of an embedding space: tasks, prefixes, nesting."""
