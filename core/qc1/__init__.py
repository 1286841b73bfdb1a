"""QC1 parameters: what they are, how they are read from products, and how they are scored. Pure functions."""
