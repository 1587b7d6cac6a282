"""How many dimensions suffice: measured on a sample, reported as data and as a page."""
