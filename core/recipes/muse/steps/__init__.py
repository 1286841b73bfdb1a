"""What is done to the pixel table of an exposure of the sky, step by step; each is a `RowStep`."""
