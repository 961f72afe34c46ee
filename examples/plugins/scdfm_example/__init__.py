"""A metric, a split kind and a method for scDFM."""
