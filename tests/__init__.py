"""Facts of scDFM, found on one thread: with more of them the last digits differ.

What a trial in Ray computes with one core is compared with what the process of a test does.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # libraries read it when they are loaded
