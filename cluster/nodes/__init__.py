"""The machines that work runs on: what they have, what would break there, what is waited for."""
