"""Whatever comes from outside gives a result or one of our errors, soon: nothing else, however damaged it is."""
