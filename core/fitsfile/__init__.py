"""FITS files, of whatever instrument: headers, data units, writers, checksums; and sets of frames.

A file is written under a temporary name and renamed when it is whole (`core.fitsfile.writer`), or reserved at full size
and filled by several processes first (`core.fitsfile.reserved`).
"""
