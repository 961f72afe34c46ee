"""What a sweep's file says, and which of it could run."""
