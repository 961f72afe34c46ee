"""How a sweep stands, on a terminal, in a pipe, and while it goes on."""
