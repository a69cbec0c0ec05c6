"""SNPE on a device: command lines, what they print, tensors at the border, and the board and executor made of them."""
