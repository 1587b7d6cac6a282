"""Vectors that were computed before, kept on disk: opt-in, bounded, shared by processes.

`keys` says what a vector is known by, `answer` what a cache does with a request: both without I/O. `disk` keeps bytes
(it needs the extra `nestvec[cache]`), `cache` sees to it that whatever is wrong with the folder, the work goes on, and
`embedder` puts all of that around an embedder.
"""
