"""Spectral numerics: arc lines, pattern matching, dispersion and line-spread function.

Arrays in, arrays out. Wavelengths are air wavelengths in Angstrom; pixel positions are 1-based FITS pixels of the
trimmed image.
"""
