"""hub_server.py - a hub on this machine, for tests: Hugging Face's endpoints for models, and what can go wrong with them.

    with Hub() as hub:
        repo = hub.add("org/name", {"config.json": b"{}", "model.safetensors": b"..."}, lfs={"model.safetensors"})
        hub.break_once("cdn", "model.safetensors", cut=1000)
        ... run something with hub.environment(cache) ...
        hub.log  # every request: server, method, path, headers

Files in large file storage are redirected to a second server under another name and port, which fails every request that carries a token.
source: the answers of huggingface.co as huggingface_hub 2.4 reads them. SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import json
import os
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit


def git_sha1(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repo:
    """One repository, at one commit."""
    name: str
    files: dict
    lfs: set = field(default_factory=set)
    token: str = None         # the token that opens it; None: it is public
    gated: bool = False       # its terms have not been accepted
    lists_blobs: bool = True  # the list of files tells sizes and checksums
    revisions: tuple = ("main",)
    answer: bytes = None      # sent instead of the list of files
    renamed_to: str = None

    @property
    def commit(self):
        seed = json.dumps([[p, git_sha1(d)] for p, d in sorted(self.files.items())])
        return hashlib.sha1(seed.encode()).hexdigest()

    def etag(self, path):
        data = self.files[path]
        return hashlib.sha256(data).hexdigest() if path in self.lfs else git_sha1(data)

    def sibling(self, path):
        entry = {"rfilename": path}
        if self.lists_blobs:
            entry |= {"size": len(self.files[path]), "blobId": git_sha1(b"pointer") if path in self.lfs else self.etag(path)}
            if path in self.lfs:
                entry["lfs"] = {"sha256": self.etag(path), "size": len(self.files[path]), "pointerSize": 134}
        return entry

    def tree_entry(self, path):
        entry = {"type": "file", "oid": git_sha1(b"pointer") if path in self.lfs else self.etag(path),
                 "size": len(self.files[path]), "path": path}
        if path in self.lfs:
            entry["lfs"] = {"oid": self.etag(path), "size": len(self.files[path]), "pointerSize": 134}
        return entry


@dataclass
class Request:
    server: str  # "hub" or "cdn"
    method: str
    path: str    # decoded
    headers: dict
    time: float = field(default_factory=time.monotonic)

    @property
    def range(self):
        return self.headers.get("range")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    # ---- Answers ----

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message):
        self.answer(status, json.dumps({"error": message}).encode(), X_Error_Code=code, X_Error_Message=message)

    def hang_up(self):
        """End the connection with a reset, as a cut line does."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def send_file(self, data, fault, **headers):
        """A file or the range that is asked for, with what is wrong with it."""
        status, start = 200, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and not fault.get("ignore_range"):
            start = int(asked[1])
            if start >= len(data):
                return self.answer(416, Content_Range=f"bytes */{len(data)}")
            status = 206
            shown = start + fault.get("range_off_by", 0)
            headers["Content_Range"] = f"bytes {shown}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        if fault.get("damage"):
            body = bytes([body[0] ^ 1]) + body[1:] if body else body
        if "extra" in fault:
            body += bytes(fault["extra"])
        length = len(body) + fault.get("length_off_by", 0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        chunked = fault.get("chunked")
        self.send_header(*(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(length))))
        self.end_headers()
        if self.command == "HEAD":
            return None
        if "cut" in fault:
            self.wfile.write(body[:fault["cut"]])
            return self.hang_up()
        if "end_early" in fault:
            body = body[:fault["end_early"]]
            self.close_connection = True
        step = fault.get("step", len(body) or 1)
        for i in range(0, len(body), step):
            piece = body[i : i + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            if "pause" in fault:
                self.wfile.flush()
                time.sleep(fault["pause"])
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        return None

    # ---- Requests ----

    def do_GET(self):
        hub, server = self.server.hub, self.server.part
        url = urlsplit(self.path)
        path = unquote(url.path)
        hub.log.append(Request(server, self.command, path, {k.lower(): v for k, v in self.headers.items()}))
        try:
            part = "cdn" if server == "cdn" else "api" if path.startswith("/api/") else "resolve"
            fault = hub.take_fault(part, path)
            path = url.path  # its parts are decoded one by one: a revision may have slashes
            if "silence" in fault:
                time.sleep(fault["silence"])
            if "status" in fault:
                return self.answer(fault["status"], b"busy", **{k: v() if callable(v) else v for k, v in fault.get("headers", {}).items()})
            if "redirect" in fault:
                return self.answer(302, Location=fault["redirect"])
            if "hang_up" in fault:
                return self.hang_up()
            return {"cdn": self.get_cdn, "api": self.get_api, "resolve": self.get_resolve}[part](path, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            return None

    do_HEAD = do_GET

    def get_cdn(self, path, fault):
        if "Authorization" in self.headers or "Authorization" in path:
            return self.answer(400, b"the token came to another host")
        data = self.server.hub.blobs.get(path.split("/")[2])
        if data is None:
            return self.answer(404)
        return self.send_file(data, fault, ETag=f'"{hashlib.md5(data).hexdigest()}"')

    def open_repo(self, name):
        """The repository, if this request may read it; else the refusal is sent."""
        repo = self.server.hub.repos.get(name)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repo is None or (repo.token and token != repo.token and not repo.gated):
            if token or repo is None and self.server.hub.missing_is_404:
                self.refuse(404, "RepoNotFound", "Repository not found")
            else:
                self.answer(401, b'{"error":"Invalid username or password."}', X_Error_Message="Invalid username or password.")
        elif repo.gated and token != repo.token:
            self.refuse(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted. You must have access to it.")
        else:
            return repo
        return None

    def get_api(self, path, fault):
        found = re.fullmatch(r"/api/models/(.+?)(?:/(revision|tree)/([^/]+))?", path)
        name, what, revision = found[1], found[2], unquote(found[3] or "main")
        repo = self.open_repo(name)
        if repo is None:
            return None
        if repo.renamed_to:
            return self.answer(307, Location=self.path.replace(name, repo.renamed_to))
        if revision not in repo.revisions and revision != repo.commit:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if what == "tree":
            body = json.dumps([repo.tree_entry(p) for p in repo.files]).encode()
        else:
            body = json.dumps({"id": name, "sha": repo.commit, "private": False,
                               "siblings": [repo.sibling(p) for p in repo.files]}).encode()
            body = body if repo.answer is None else repo.answer
        return self.send_file(body, fault, Content_Type="application/json")

    def get_resolve(self, path, fault):
        found = re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path)
        if not found:
            return self.answer(404)
        repo = self.open_repo(found[1])
        if repo is None:
            return None
        if repo.renamed_to:
            return self.answer(307, Location=self.path.replace(found[1], repo.renamed_to))
        revision, file = unquote(found[2]), unquote(found[3])
        if revision not in repo.revisions and revision != repo.commit:
            return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if file not in repo.files:
            return self.refuse(404, "EntryNotFound", "Entry not found")
        data = repo.files[file]
        headers = {"X_Repo_Commit": repo.commit}
        if file in repo.lfs:
            headers |= {"X_Linked_Etag": f'"{repo.etag(file)}"', "X_Linked_Size": len(data), "ETag": f'W/"{git_sha1(b"page")}"'}
            return self.answer(302, b"Found", Location=f"{self.server.hub.cdn}/blob/{repo.etag(file)}/{quote(file)}?Signature=x", **headers)
        return self.send_file(data, fault, ETag=f'"{repo.etag(file)}"', **headers)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients that go away are part of the tests


class Hub:
    def __init__(self):
        self.repos, self.log, self.faults, self.missing_is_404 = {}, [], [], False
        self.lock = threading.Lock()
        self.servers = []
        for part in ("hub", "cdn"):
            server = Server(("127.0.0.1", 0), Handler)
            server.hub, server.part = self, part
            self.servers.append(server)
        self.endpoint = f"http://127.0.0.1:{self.servers[0].server_port}"
        self.cdn = f"http://localhost:{self.servers[1].server_port}"

    def __enter__(self):
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def add(self, name, files, **options):
        self.repos[name] = Repo(name, dict(files), **options)
        return self.repos[name]

    @property
    def blobs(self):
        return {r.etag(p): r.files[p] for r in self.repos.values() for p in r.lfs}

    # ---- Faults ----

    def break_times(self, times, part, path, **fault):
        """The next `times` requests to `part` (api, resolve, cdn) whose path ends like this are answered wrongly."""
        self.faults.append([times, part, path, fault])

    def break_once(self, part, path, **fault):
        self.break_times(1, part, path, **fault)

    def break_always(self, part, path, **fault):
        self.break_times(float("inf"), part, path, **fault)

    def take_fault(self, part, path):
        with self.lock:
            for fault in self.faults:
                if fault[0] > 0 and fault[1] == part and path.endswith(fault[2]):
                    fault[0] -= 1
                    return fault[3]
        return {}

    # ---- For tests ----

    def gets(self, path="", method="GET"):
        """Requests for a file, at either server."""
        return [r for r in self.log if r.method == method and r.path.endswith(path)]

    def environment(self, cache, **more):
        """An environment in which nothing but this hub and this cache is known."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING")) and not k.lower().endswith("_proxy")}
        return {**kept, "HF_ENDPOINT": self.endpoint, "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache) + "-home",
                "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "*", **more}
