"""Collections in files: exported with all that belongs to them, and imported without embedding anything."""
