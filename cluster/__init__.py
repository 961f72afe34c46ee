"""Where model and data meet, on one machine or many."""
