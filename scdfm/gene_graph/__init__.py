"""The gene graph: for each gene, the genes it may look at.

Built from log-normalised expression of TRAINING cells only, or from a user's own edges.
"""
