"""What an evaluation is made of: rows, noise, intervals, and how it is kept."""
