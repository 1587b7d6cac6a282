"""From one generation of a collection to another: how each vector is had, and passes that bring documents over.

`lifecycle` is where the clients come in. `generations` says what there is and which one is live, `planning` decides,
without I/O, from which to which, `engine` migrates.
"""
