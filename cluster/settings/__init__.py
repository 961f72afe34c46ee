"""What a run's file says. Loads neither torch nor Ray."""
