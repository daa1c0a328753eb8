// Package python tests the Python package in nb201 and the library in bridge, with the Python of
// NB201_PYTHON.
package python
