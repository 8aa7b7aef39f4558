"""vLLM as an engine, in this process or as servers, and how new weights get there.

`adapter.py`, `in_process.py` and `over_http.py` are all that knows how vLLM wants to be asked; nothing of
vLLM is imported before an engine starts. To follow a new version of vLLM, change these three.
"""
