"""Files → samples → crops and points.

Takes a folder in its authors' layout; gives the samples, splits, head points and training crops of one run as NumPy arrays.
Must not know Keras, a network or a loss.
"""
