"""Tests of the Python package. They run in the directory python, with nb201 in PATH and NB201_LIBRARY set."""
