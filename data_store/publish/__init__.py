"""How a store comes to stand where it was asked for, whole or not at all."""
