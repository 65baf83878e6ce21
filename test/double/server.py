"""The double: one process that answers like the auth providers authsync talks to, and fails on demand.

    python3 test/double/server.py [--port 0] [--host 127.0.0.1] [--tls CERT KEY] [--until-eof]

prints "ready PORT" and serves each provider below its own prefix; README.md says which, and how to steer it.

provider   base url    accepted credential                              ... and one that may not, or may less
---------  ----------  -----------------------------------------------  -------------------------------------------
supabase   /supabase   Authorization: Bearer SERVICE_JWT                ANON_JWT: 403 not_admin
                       apikey: sb_secret_test (Authorization the same)  (the two JWTs: see supabase.py)
auth0      /auth0      client_id m2m, client_secret s3cret              m2m-read: read:users only; m2m-none: 403
                       audience <base url>/api/v2/
okta       /okta       Authorization: SSWS okta-test-token              okta-read-token: GET only
clerk      /clerk      Authorization: Bearer sk_test_double             sk_test_read: GET only
keycloak   /keycloak   client_id authsync, client_secret s3cret         authsync-view: no writes; authsync-query: sees
                       (form or Basic), realm "test"                    nobody; authsync-none: 403
scim       /scim/v2    Authorization: Bearer scim-test-token            scim-read-token: GET only
workos     /workos     Authorization: Bearer sk_test_default            sk_test_read: GET only
firebase   /firebase   Authorization: Bearer owner, or a token of       a grant for another scope: 403
                       /firebase/token
cognito    /cognito    SigV4, access key AKIDTEST, secret s3cret        AKIDDENIED: AccessDeniedException
rest       /rest       Authorization: Bearer rest-test-token            rest-read-token: GET only
"""
import argparse
import asyncio
import os
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import traceback
from collections import deque
from email.utils import formatdate
from http import HTTPStatus

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import faults                                        # noqa: E402
from auth0 import Auth0                              # noqa: E402
from clerk import Clerk                              # noqa: E402
from cognito import Cognito                          # noqa: E402
from common import Request, Response, reply          # noqa: E402
from control import Control                          # noqa: E402
from firebase import Firebase                        # noqa: E402
from keycloak import Keycloak                        # noqa: E402
from okta import Okta                                # noqa: E402
from rest import Rest                                # noqa: E402
from scim import Scim                                # noqa: E402
from supabase import Supabase                        # noqa: E402
from workos import WorkOS                            # noqa: E402

PHRASE = {s.value: s.phrase for s in HTTPStatus}
MAX_HEAD, MAX_BODY = 1 << 18, 256 << 20


class BadRequest(Exception):
    pass


class Server:
    def __init__(self, scheme):
        self.scheme = scheme
        self.providers = {p.name: p for p in (c() for c in (Supabase, Auth0, Okta, Clerk, Keycloak, Scim, WorkOS,
                                                            Firebase, Cognito, Rest))}
        self.faults, self.hooks = faults.Rules(), faults.Rules()
        self.control = Control(self)
        self.log = deque(maxlen=50000)
        self.requests = self.connections = self.open = self.flight = self.max_flight = 0
        self.second, self.date = 0, ""

    def http_date(self, offset):
        t = int(time.time())
        if offset:
            return formatdate(t + offset, usegmt=True)
        if t != self.second:
            self.second, self.date = t, formatdate(t, usegmt=True)
        return self.date


class Connection(asyncio.Protocol):
    """HTTP/1.1 by hand: one request at a time is answered, what was pipelined waits in the buffer."""
    def __init__(self, server):
        self.server = server

    def connection_made(self, transport):
        s = self.server
        s.connections += 1
        s.open += 1
        self.number, self.transport = s.connections, transport
        self.buf, self.pos, self.parts, self.want, self.current = bytearray(), 0, [], None, None
        self.task, self.gone, self.continued = None, False, False
        self.drained = asyncio.Event()
        self.drained.set()
        self.lost = asyncio.get_running_loop().create_future()
        self.req, self.offset = None, 0
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc):
        self.server.open -= 1
        self.gone = True
        self.drained.set()
        if not self.lost.done():
            self.lost.set_result(None)

    def pause_writing(self):
        self.drained.clear()

    def resume_writing(self):
        self.drained.set()

    def data_received(self, data):
        self.buf += data
        if self.task is None:
            self.pump()

    def pump(self):
        while self.task is None and not self.gone and not self.transport.is_closing():
            try:
                req = self.parse()
            except BadRequest as e:
                self.req = None
                self.write(self.head(Response(400, ctype="text/plain"), len(str(e))) + str(e).encode())
                self.close()
                return
            if req is None:
                return
            self.dispatch(req)

    # -- reading

    def parse(self):
        if self.want is None and not self.parse_head():
            return None
        if self.want == "chunked":
            body = self.parse_chunks()
            if body is None:
                return None
        else:
            if len(self.buf) < self.want:
                self.go_on()
                return None
            body = bytes(self.buf[:self.want])
            del self.buf[:self.want]
        req, self.current, self.want = self.current, None, None
        req.body = body
        req.conn = self.number
        return req

    def go_on(self):
        if not self.continued and self.current.header("expect").lower() == "100-continue":
            self.continued = True
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def parse_head(self):
        while self.buf.startswith(b"\r\n"):
            del self.buf[:2]
        end = self.buf.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buf) > MAX_HEAD:
                raise BadRequest("head too long")
            return False
        lines = self.buf[:end].decode("latin-1").split("\r\n")
        del self.buf[:end + 4]
        first = lines[0].split(" ")
        if len(first) != 3 or not first[2].startswith("HTTP/1."):
            raise BadRequest("bad request line")
        headers = {}
        for line in lines[1:]:
            k, colon, v = line.partition(":")
            if not colon or k != k.strip():
                raise BadRequest("bad header line")
            k = k.lower()
            headers[k] = headers[k] + ", " + v.strip() if k in headers else v.strip()
        req = Request(first[0], first[1], headers, b"")
        req.host = self.server.scheme + "://" + headers.get("host", "localhost")
        hold = headers.get("connection", "").lower()
        req.close = hold == "close" or (first[2] == "HTTP/1.0" and hold != "keep-alive")
        self.current, self.continued, self.parts, self.pos = req, False, [], 0
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self.want = "chunked"
        else:
            length = headers.get("content-length", "0")
            if not length.isdigit() or int(length) > MAX_BODY:
                raise BadRequest("bad content-length")
            self.want = int(length)
        return True

    def parse_chunks(self):
        while True:
            end = self.buf.find(b"\r\n")
            if end < 0:
                self.go_on()
                return None
            try:
                size = int(bytes(self.buf[:end]).split(b";")[0], 16)
            except ValueError:
                raise BadRequest("bad chunk size") from None
            if size == 0:
                if self.buf[end:end + 4] == b"\r\n\r\n":
                    del self.buf[:end + 4]
                else:                                 # trailers
                    stop = self.buf.find(b"\r\n\r\n", end)
                    if stop < 0:
                        return None
                    del self.buf[:stop + 4]
                return b"".join(self.parts)
            if len(self.buf) < end + 2 + size + 2:
                return None
            self.parts.append(bytes(self.buf[end + 2:end + 2 + size]))
            del self.buf[:end + 4 + size]

    # -- answering

    def dispatch(self, req):
        s, self.req, self.offset = self.server, req, 0
        if req.path.startswith("/_control/"):
            self.send(s.control.handle(req))
            self.end(req)
            return
        name = req.path.split("/", 2)[1]
        p = s.providers.get(name)
        entry = [req, name, 0, None, time.time()]
        s.log.append(entry)
        s.requests += 1
        s.flight += 1
        s.max_flight = max(s.max_flight, s.flight)
        start = time.monotonic()
        line = req.method + " " + req.target
        rule = s.faults.take(line) if s.faults.rows else None
        late = p.set["latency_ms"] if p else 0
        if p:
            self.offset = p.set["date_offset_s"]

        def work():
            if s.hooks.rows:
                hook = s.hooks.take(line)
                if hook is not None:
                    s.control.act(name, hook["do"])
            if p is None:
                return faults.no_provider()
            req.rest = req.path[len(name) + 1:] or "/"
            try:
                return p.handle(req)
            except Exception:                          # a mistake of the double must not look like a hang
                traceback.print_exc()
                return reply(599, {"error": "the double itself failed: " + traceback.format_exc(limit=3)})

        def done(status):
            if len(req.body) > 100000:                 # the log need not keep more
                req.body = req.body[:100000]
            entry[2], entry[3] = status, round((time.monotonic() - start) * 1000, 3)
            s.flight -= 1

        if rule is None and not late:
            done(self.send(work()))
            self.end(req)
            return

        async def slow():
            status = 0
            try:
                if late:
                    await asyncio.sleep(late / 1000)
                status = self.send(work()) if rule is None else await faults.play(self, req, rule, work)
            finally:
                done(status or 0)
                self.task = None
            self.end(req)
            self.pump()
        self.task = asyncio.get_running_loop().create_task(slow())

    def end(self, req):
        if req.close:
            self.close()

    def head(self, r, length):
        """The head of an answer; length None makes it chunked."""
        lines = ["HTTP/1.1 %d %s" % (r.status, PHRASE.get(r.status, "Unknown")),
                 "Date: " + self.server.http_date(self.offset)]
        if r.ctype:
            lines.append("Content-Type: " + r.ctype)
        if length is None:
            lines.append("Transfer-Encoding: chunked")
        elif r.status not in (204, 304):
            lines.append("Content-Length: %d" % length)
        if self.req is not None and self.req.close:
            lines.append("Connection: close")
        lines += ["%s: %s" % h for h in r.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")

    def send(self, r):
        body = b"" if self.req.method == "HEAD" or r.status in (204, 304) else r.body
        self.write(self.head(r, len(r.body)) + body)
        return r.status

    def write(self, data):
        if not self.gone and not self.transport.is_closing():
            self.transport.write(data)

    async def push(self, data):
        """Writes, waits while the client does not read; False once it has left."""
        self.write(data)
        await self.drained.wait()
        await asyncio.sleep(0)
        return not self.gone and not self.transport.is_closing()

    async def silence(self):
        """Nothing more, until the client leaves."""
        await asyncio.wait([self.lost])
        return 0

    def close(self):
        self.transport.close()

    def reset(self):
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.gone:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        return 0


async def main(args):
    loop = asyncio.get_running_loop()
    context = None
    if args.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*args.tls)
    server = Server("https" if context else "http")
    listening = await loop.create_server(lambda: Connection(server), args.host, args.port, ssl=context, backlog=1024)
    loop.add_signal_handler(signal.SIGTERM, os._exit, 0)
    loop.add_signal_handler(signal.SIGINT, os._exit, 0)
    if args.until_eof:
        def wait_for_eof():                            # a thread: not every stdin can be polled
            while os.read(0, 65536):
                pass
            os._exit(0)
        threading.Thread(target=wait_for_eof, daemon=True).start()
    print("ready %d" % listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    cli = argparse.ArgumentParser(description="The test server of authsync.")
    cli.add_argument("--host", default="127.0.0.1")
    cli.add_argument("--port", type=int, default=0)
    cli.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    cli.add_argument("--until-eof", action="store_true", help="leave when stdin is closed")
    asyncio.run(main(cli.parse_args()))
