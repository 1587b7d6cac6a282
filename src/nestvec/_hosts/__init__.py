"""Whether two hosts of one model give the same vectors: canary texts, their comparison, and the note of it."""
