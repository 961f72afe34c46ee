"""What all packages share about a screen: conditions, names, randomness, gene choice."""
