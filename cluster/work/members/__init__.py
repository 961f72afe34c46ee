"""Members of an ensemble: runs of their own in a run's directory, whose models become one."""
