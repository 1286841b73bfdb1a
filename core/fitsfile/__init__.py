"""What lies on disk: raw frames, product images and tables, sets of frames.

Each FITS format is declared once (`core.formats.tables`, `core.formats.image`); readers, writers and validators
come from the declaration. Everything is written under a temporary name and renamed.
"""
