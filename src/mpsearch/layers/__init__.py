"""Every layer's output beside the float model's, and every layer's time, whatever tool they come from."""
