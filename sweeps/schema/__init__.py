"""What a sweep file says, and whether it can run."""
