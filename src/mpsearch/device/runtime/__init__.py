"""What the tools on a board want to be told, and what their output means. Pure."""
