"""Policy: the model that learns, from loading to log-probs.

It uses video for pixels and objectives for nothing. What is particular to a family of models stands in
families/; everything else here is the same for all of them. To add a family, add a file there.
"""
