"""Data: uint8 images and labels, their float range, their tokens, and the noise of image i."""
