"""As much of a Debian mirror as an installer asks for when it has been told of one: which suites there are. Every request is
a line of the file REQUESTS."""

import http.server
import sys

PORT, REQUESTS = int(sys.argv[1]), sys.argv[2]
SUITES = {
    "/debian/dists/bookworm/Release": b"Origin: Debian\nLabel: Debian\nSuite: oldstable\nCodename: bookworm\n"
    b"Architectures: all amd64 arm64 armhf\nComponents: main\n",
    "/debian/dists/bookworm/main/binary-armhf/Release": b"Archive: oldstable\nOrigin: Debian\nLabel: Debian\n"
    b"Component: main\nArchitecture: armhf\n",
}


class Mirror(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(REQUESTS, "a", encoding="utf-8") as requests:
            requests.write(f"{self.path} {self.headers.get('User-Agent')}\n")
        body = SUITES.get(self.path, b"")
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", PORT), Mirror).serve_forever()
