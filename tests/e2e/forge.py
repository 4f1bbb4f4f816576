"""One pull request, its comments and a snapshot's place, as GitLab's and GitHub's interfaces have them. Whatever a test
reads or changes is a file of its folder: comments.json, head (the request's newest commit), newest (that of the branch it is
for), labels, snapshot."""

import base64
import http.server
import json
import pathlib
import re
import sys

PORT, FOLDER = int(sys.argv[1]), pathlib.Path(sys.argv[2])
HERE = f"http://127.0.0.1:{PORT}"
# As many comments as real forges give at once, for a request with fewer comments.
PAGE = 2
TOKENS = {"PRIVATE-TOKEN": "a-token", "Authorization": "Bearer a-token"}
JOB = "Basic " + base64.b64encode(b"gitlab-ci-token:a-job-token").decode()
READERS = {"Authorization": (JOB, "Bearer a-snapshot-token")}
UPLOADERS = {"DEPLOY-TOKEN": ("a-deploy-token",)}
SELF, ALICE = {"id": 5, "login": "github-actions[bot]"}, {"id": 8, "login": "alice"}
comments = []


def add(author, body):
    number = len(comments) + 1
    comments.append({"id": number, "url": f"{HERE}/comments/{number}", "user": author, "author": author, "body": body})
    return comments[-1]


def keep():
    (FOLDER / "comments.json").write_text(json.dumps(comments))


class Forge(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def has(self, tokens):
        return any(self.headers.get(name) in allowed for name, allowed in tokens.items())

    def permitted(self):
        permitted = any(self.headers.get(name) == token for name, token in TOKENS.items())
        if not permitted:
            self.answer(401, {})
        return permitted

    def read(self):
        return self.rfile.read(int(self.headers["Content-Length"]))

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/":
            return self.answer(200, {})
        if path.endswith("snapshot"):
            return self.snapshot()
        if not self.permitted():
            return None
        if path.endswith(("/comments", "/notes")):
            return self.page(path, query)
        if path.endswith(("/pulls", "/merge_requests")):
            labels = (FOLDER / "labels").read_text().split()
            names = labels if path.endswith("/merge_requests") else [{"name": name} for name in labels]
            return self.answer(200, [{"labels": names}])
        if path == "/api/v4/user":
            return self.answer(200, SELF)
        if path.endswith("/commits/released"):
            return self.answer(200, {"sha": (FOLDER / "newest").read_text().strip()})
        head = (FOLDER / "head").read_text().strip()
        return self.answer(200, {"sha": head, "head": {"sha": head}})

    def snapshot(self):
        snapshot = FOLDER / "snapshot"
        if self.has(READERS) and snapshot.exists():
            self.answer(200, snapshot.read_bytes())
        else:
            self.answer(404, {})

    def page(self, path, query):
        number = int((re.search(r"\bpage=(\d+)", query) or [0, 1])[1])
        last = -(-len(comments) // PAGE)
        link = lambda rel, to: f'<{HERE}{path}?per_page=100&page={to}>; rel="{rel}"'
        links = [link("prev", number - 1)] if number > 1 else []
        links += [link("next", number + 1), link("last", last)] if number < last else []
        following = str(number + 1) if number < last else ""
        shown = comments[(number - 1) * PAGE : number * PAGE]
        self.answer(200, shown, Link=", ".join(links), X_Next_Page=following)

    def do_POST(self):
        body = json.loads(self.read())["body"]
        if self.permitted():
            comment = add(SELF, body)
            keep()
            self.answer(201, comment)

    def do_PUT(self):
        body = self.read()
        if self.path.endswith("snapshot"):
            if self.has(UPLOADERS):
                (FOLDER / "snapshot").write_bytes(body)
            return self.answer(201 if self.has(UPLOADERS) else 401, {})
        if not self.permitted():
            return None
        comment = comments[int(self.path.rsplit("/", 1)[1]) - 1]
        if comment["author"] != SELF:
            return self.answer(403, {})
        comment["body"] = json.loads(body)["body"]
        keep()
        return self.answer(200, comment)

    do_PATCH = do_PUT


add(ALICE, "Looks fine.")
add(ALICE, "<!-- armfleet -->\nWhat would this do to mine?")
add(SELF, "Of another job: <!-- armfleet -->")
keep()
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Forge).serve_forever()
