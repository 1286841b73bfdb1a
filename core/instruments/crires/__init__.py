"""CRIRES, the cryogenic infrared echelle spectrograph of the VLT, as it was until 2014."""
