"""Static calibrations, built from published data, with their validity in time."""
