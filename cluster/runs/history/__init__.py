"""What happened in a run, when, and how it was computed."""
