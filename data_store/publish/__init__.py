"""How a store appears at its place, complete or not at all."""
