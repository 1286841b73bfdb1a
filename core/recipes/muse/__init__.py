"""The muse_* recipes and what they have in common."""
