"""The velocity field: the paper's network, the release's, and the parts they share."""
