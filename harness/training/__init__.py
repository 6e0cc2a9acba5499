"""One run on the device: points and crops → loss → weights → counts.

Takes a `Run` and its crops; gives the trained network, how it got there, and what it predicts. The one room that touches a
backend (`backend.py`); must not know records, tables or other runs.
"""
