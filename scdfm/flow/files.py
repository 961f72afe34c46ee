"""Names of a model's files. Loads no torch."""

CARD, WEIGHTS, GRAPH, SPLIT = "model.json", "model.safetensors", "graph.npz", "split.json"
BASE = "base.safetensors"  # of a model whose means have a base
