"""What all tests share: a quiet XLA."""

import os

# XLA writes a screenful of harmless errors for each executable it loads.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
