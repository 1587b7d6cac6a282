"""A collection as a whole: finding it behind its alias, planning and applying, adopting, following a migration."""
