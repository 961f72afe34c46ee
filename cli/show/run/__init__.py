"""How a run stands, on a terminal, in a pipe, and while it goes on."""
