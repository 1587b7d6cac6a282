"""Running flows against real plugins: one synchronous driver, one asynchronous one, a few lines each."""
