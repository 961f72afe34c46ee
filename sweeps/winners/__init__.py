"""Which trials are best, and how good they are on test conditions."""
