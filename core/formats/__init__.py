"""What MUSE files contain: raw frames, images, tables, pixel tables, written and read by way of `core.fitsfile`."""
