"""What a process computes for a run, with or without Ray."""
