"""The science: tensors in, tensors out."""
