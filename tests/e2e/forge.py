"""The comments of one pull request, as GitLab's and GitHub's interfaces keep them: in a file, for a test to read."""

import http.server
import json
import sys

PORT, KEPT = int(sys.argv[1]), sys.argv[2]
TOKENS = {"PRIVATE-TOKEN": "a-token", "Authorization": "Bearer a-token"}
comments = {
    1: {"id": 1, "body": "Looks fine.", "url": f"http://127.0.0.1:{PORT}/comments/1"},
}


class Forge(http.server.BaseHTTPRequestHandler):
    def answer(self, status, value):
        with open(KEPT, "w") as kept:
            json.dump(list(comments.values()), kept)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def permitted(self):
        return any(self.headers.get(name) == token for name, token in TOKENS.items())

    def body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]

    def do_GET(self):
        self.answer(200 if self.permitted() else 401, list(comments.values()))

    def do_POST(self):
        number = len(comments) + 1
        url = f"http://127.0.0.1:{PORT}/comments/{number}"
        self.write(201, number, {"id": number, "url": url})

    def do_PUT(self):
        number = int(self.path.rsplit("/", 1)[1])
        self.write(200, number, comments[number])

    do_PATCH = do_PUT

    def write(self, status, number, comment):
        body = self.body()
        if self.permitted():
            comments[number] = {**comment, "body": body}
            self.answer(status, comments[number])
        else:
            self.answer(401, {})


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Forge).serve_forever()
