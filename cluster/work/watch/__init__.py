"""A run's curves while it trains: shown by watchers, or looked at from another process."""
