"""Processes that run one library each and are told, a line at a time, what to measure."""
