"""Video: seconds to pixels and sound, exact, and shared by all who look.

A decoder promises one thing (decoder.py); opening.py picks it; frame_store.py keeps pixels under a bound
and lets neighbours share a pass. To add a decoder, subclass `Decoder` and name it in opening.py.
"""
