"""From one generation of a collection to another: how each vector is had, and passes that bring documents over.

`routes` decides, without I/O; `passes` brings documents over; `places` knows the generations that there are.
"""
