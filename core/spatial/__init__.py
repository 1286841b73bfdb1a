"""Where the light of a slice comes from: pinhole spots, the geometry of the slices, positions in the field of view.

Arrays in, arrays out; see docs/architecture.md.
"""
