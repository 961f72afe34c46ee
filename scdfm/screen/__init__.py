"""The words of a screen, which all others use: conditions, randomness, gene choice."""
