"""The training loop, what it says of its steps, and what it keeps of them."""
