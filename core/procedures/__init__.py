"""QC procedures: the pictures of a finished block, one module per recipe."""
