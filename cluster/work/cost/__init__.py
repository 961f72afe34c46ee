"""What a run would cost on a machine, measured by a few steps before anything is trained."""
