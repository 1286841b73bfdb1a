"""MUSE, the 24-channel integral-field spectrograph of the VLT."""
