"""Pixels of a table become voxels of a cube, and a cube becomes images.

Arrays in, arrays out; see docs/architecture.md.
"""
