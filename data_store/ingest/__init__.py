"""From sources to a store, in bounded memory."""
