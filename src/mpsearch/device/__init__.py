"""Boards of the user's own: a transport, a runtime, and a description file that joins them."""
