"""CCD-level numerics: arrays in, arrays out.

No FITS, no files, no logging: the recipes are the glue. Images are ``(ny, nx)`` float32, variance is ``stat``
(float32, square of the data unit), flags are ``dq`` (int32, Euro3D bits of `core.instruments.muse.facts.Dq`).
"""
