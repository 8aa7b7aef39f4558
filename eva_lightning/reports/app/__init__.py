"""App: a page of this machine to ask a video in, where plan, calls and frames arrive as they are made.

uploads.py keeps what a browser sent, asking.py lets agents answer and remembers how far they are, server.py
speaks HTTP. How a trajectory is drawn is the viewer's business. To let a user say more (a temperature, say),
add a field to app.html and app.js, and read it in server.py.
"""
