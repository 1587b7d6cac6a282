"""What nestvec does, decided without I/O.

A flow is a generator: it yields requests (`nestvec.contract`), is sent their answers, and returns its result.
`nestvec.drivers` runs flows against real plugins, synchronously or not; tests step them by hand.
"""
