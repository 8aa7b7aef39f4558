"""Reports: what people read, metrics, tables, pictures, pages.

They may read everything below and change nothing. To add a measure, add it to metrics.py, and it is logged
by every stage and told in every table.
"""
