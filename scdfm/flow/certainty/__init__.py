"""How sure a prediction is: intervals, and several models that are used as one."""
