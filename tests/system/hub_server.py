"""A model hub of the tests: what huggingface_hub asks of one, over real HTTP, in memory.

Repositories are made, files come in a commit or by Git LFS, and are given out again with their hashes.
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_of_these_tests"


class Repository:
    """What its last commit holds."""

    def __init__(self, private):
        self.private, self.files, self.large, self.commits = private, {}, set(), []

    @property
    def sha(self):
        return hashlib.sha1("".join(self.commits).encode()).hexdigest()


class Hub:
    """All repositories, and what has come by LFS."""

    def __init__(self):
        self.repositories, self.objects, self.said, self.address = {}, {}, [], ""

    def answer(self, method, path, headers, body):
        """Status, headers, bytes."""
        for pattern, answer in ROUTES:
            found = re.fullmatch(pattern, f"{method} {path}")
            if found:
                writes = method == "POST" and not path.startswith("/objects/")
                if writes and headers.get("authorization") != f"Bearer {TOKEN}":
                    return failed(401, "Invalid username or password.")
                return answer(self, body, **found.groupdict())
        return failed(404, f"there is no {method} {path}")

    def create(self, body):
        told = json.loads(body)
        kind = "datasets/" if told.get("type") == "dataset" else ""
        name = kind + (f"{told['organization']}/{told['name']}" if told.get("organization") else told["name"])
        if name in self.repositories:
            there = {"error": "You already created this model repo", "url": f"{self.address}/{name}"}
            return 409, {"Content-Type": "application/json"}, json.dumps(there).encode()
        self.repositories[name] = Repository(
            told.get("private", False) or told.get("visibility") == "private"
        )
        return given({"url": f"{self.address}/{name}", "name": name, "id": name.removeprefix("datasets/")})

    def validate(self, body):
        return given({"errors": [], "warnings": []})

    def preupload(self, body, repo, revision):
        files = json.loads(body)["files"]
        return given(
            {
                "files": [
                    {
                        "path": one["path"],
                        "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for one in files
                ]
            }
        )

    def batch(self, body, repo):
        objects = json.loads(body)["objects"]
        for one in objects:
            place = f"{self.address}/objects/{one['oid']}"
            one["actions"] = {"upload": {"href": place, "header": {}}, "verify": {"href": f"{place}/verify"}}
        return given({"transfer": "basic", "objects": objects})

    def put(self, body, oid):
        if hashlib.sha256(body).hexdigest() != oid:
            return failed(422, "other bytes than were announced")
        self.objects[oid] = body
        return given({})

    def verify(self, body, oid):
        return given({}) if oid in self.objects else failed(404, "no such object")

    def commit(self, body, repo, revision):
        kept = self.repositories[repo]
        for line in body.decode().splitlines():
            row = json.loads(line)
            value = row["value"]
            if row["key"] == "header":
                kept.commits.append(value["summary"])
            elif row["key"] == "file":
                kept.files[value["path"]] = base64.b64decode(value["content"])
            elif row["key"] == "lfsFile":
                kept.files[value["path"]] = self.objects[value["oid"]]
                kept.large.add(value["path"])
            else:
                return failed(400, f"what is {row['key']}?")
        url = f"{self.address}/{repo}/commit/{kept.sha}"
        return given({"success": True, "commitUrl": url, "commitOid": kept.sha})

    def info(self, body, repo, revision="main"):
        if repo not in self.repositories:
            return failed(404, "Repository not found", "RepoNotFound")
        kept = self.repositories[repo]
        return given(
            {
                "_id": "0",
                "id": repo.removeprefix("datasets/"),
                "sha": kept.sha,
                "private": kept.private,
                "tags": [],
                "siblings": [{"rfilename": name} for name in kept.files],
            }
        )

    def tree(self, body, repo, revision, folder=""):
        if repo not in self.repositories:
            return failed(404, "Repository not found", "RepoNotFound")
        files = self.repositories[repo].files.items()
        return given(
            [
                {"type": "file", "path": name, "size": len(held), "oid": hashlib.sha1(held).hexdigest()}
                for name, held in files
                if name.startswith(folder)
            ]
        )

    def paths(self, body, repo, revision):
        asked = parse_qs(body.decode())["paths"] if b"=" in body else json.loads(body)["paths"]
        every = json.loads(self.tree(b"", repo, revision)[2])
        return given([one for one in every if one["path"] in asked])

    def resolve(self, body, repo, revision, name):
        if repo not in self.repositories:
            return failed(404, "Repository not found", "RepoNotFound")
        kept = self.repositories[repo]
        if name not in kept.files:
            return failed(404, "Entry not found", "EntryNotFound", {"X-Repo-Commit": kept.sha})
        held = kept.files[name]
        etag = f'"{hashlib.sha256(held).hexdigest()}"'
        return (
            200,
            {"X-Repo-Commit": kept.sha, "ETag": etag, "Content-Type": "application/octet-stream"},
            held,
        )


REPO, REVISION = r"(?P<repo>(datasets/)?[\w.-]+/[\w.-]+)", r"(?P<revision>[^/]+)"
ROUTES = [
    (r"POST /api/repos/create", Hub.create),
    (r"POST /api/validate-yaml", Hub.validate),
    (rf"POST /api/{REPO}/preupload/{REVISION}", Hub.preupload),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", Hub.batch),
    (r"PUT /objects/(?P<oid>\w+)", Hub.put),
    (r"POST /objects/(?P<oid>\w+)/verify", Hub.verify),
    (rf"POST /api/{REPO}/commit/{REVISION}", Hub.commit),
    (rf"POST /api/{REPO}/paths-info/{REVISION}", Hub.paths),
    (rf"GET /api/{REPO}", Hub.info),
    (rf"GET /api/{REPO}/revision/{REVISION}", Hub.info),
    (rf"GET /api/{REPO}/tree/{REVISION}/?(?P<folder>.*)", Hub.tree),
    (rf"(GET|HEAD) /{REPO}/resolve/{REVISION}/(?P<name>.+)", Hub.resolve),
]


def given(value):
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def failed(status, why, code="", more=None):
    headers = {"Content-Type": "application/json", "X-Error-Message": why} | (more or {})
    return status, headers | ({"X-Error-Code": code} if code else {}), json.dumps({"error": why}).encode()


@contextmanager
def serving_hub():
    """A hub, while a test wants it: `address`, `repositories`, `said` (every request)."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(self.pieces())
            path = unquote(urlsplit(self.path).path).replace("/api/models/", "/api/")
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, held = hub.answer(self.command, path, headers, body)
            if status == 200 and self.command == "GET" and "range" in headers:
                begin, end = re.fullmatch(r"bytes=(\d+)-(\d*)", headers["range"]).groups()
                last = min(int(end or len(held) - 1), len(held) - 1)
                more |= {"Content-Range": f"bytes {begin}-{last}/{len(held)}"}
                status, held = 206, held[int(begin) : last + 1]
            hub.said.append((self.command, path, status))
            self.send_response(status)
            for name, value in {**more, "Content-Length": str(len(held))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(held)

        def pieces(self):
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        do_GET = do_HEAD = do_POST = do_PUT = serve

        def log_message(self, *_):
            """Nothing: `said` has it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
