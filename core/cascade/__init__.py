"""The calibration cascade as pure functions: grouping, association, planning, explanation."""
