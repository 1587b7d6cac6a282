"""From one generation of a collection to another: how each vector is had, and passes that bring documents over.

`routes` decides, without I/O; `passes` does. Nothing here moves a pointer, so readers and writers notice nothing.
"""
