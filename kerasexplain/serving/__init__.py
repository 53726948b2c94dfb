"""Analyzers as files: functions that a program without this library, and without Keras, calls for explanations."""
