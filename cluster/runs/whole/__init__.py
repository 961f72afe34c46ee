"""What a run, a sweep or a model lacks: training, an end, or bytes as they were written."""
