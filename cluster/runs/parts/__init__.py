"""Parts of a run's directory that have an owner of their own."""
