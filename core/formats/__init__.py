"""What MUSE files contain, written and read by way of `core.fitsfile`.

Raw frames, images, tables, cubes and pixel tables; each format is declared once, and readers, writers and validators
come from the declaration.
"""
