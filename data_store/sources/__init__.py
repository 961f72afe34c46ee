"""Users' files: where they are, what they hold, what is detected in them."""
