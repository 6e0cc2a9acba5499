"""The matrix and its cells: a request → a run → a record.

Takes what a user asks for; plans the cells, runs each in a process of its own, and gives one record a cell whatever becomes of
it. Must not know how tables look.
"""
