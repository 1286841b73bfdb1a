"""Raw MUSE frames with a known, saved truth."""
