"""Where a run's curves are shown while it trains, besides its own files."""
