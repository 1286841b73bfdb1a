"""What the atmosphere and the motion of the Earth do to exposures of the sky, and what their sources are.

Arrays in, arrays out; see docs/architecture.md.
"""
