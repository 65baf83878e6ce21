#!/usr/bin/env python3
"""The double, tested: each provider's calls (selftest_providers.py), walks (selftest_walks.py), faults. Prints TAP."""
import gzip
import http.client
import os
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from selftest_calls import COUNT, PORT, bearer, call, control, ok, users, want      # noqa: E402
from selftest_providers import ALL                                                  # noqa: E402
from selftest_walks import walks                                                    # noqa: E402
from supabase import SERVICE_JWT                                                    # noqa: E402


def broken(path, h, **fault):
    """What a client meets: the name of the exception, or the answer."""
    control("fault", dict(fault, match="GET " + path))
    try:
        return call("GET", path, headers=h, timeout=0.4)
    except Exception as e:
        return type(e).__name__


def failures():
    h, p = bearer("rest-test-token"), "/rest/users"
    users("rest", count=5)
    r = broken(p, h, kind="status", status=503, headers={"Retry-After": "7"}, body="<h1>no</h1>")
    ok(r.status == 503 and r.body == b"<h1>no</h1>" and r.headers["Retry-After"] == "7", "fault: status")
    for kind, more, names in (("hang", {}, ("TimeoutError", "timeout")), ("stall", {}, ("TimeoutError", "timeout")),
                              ("long_length", {}, ("TimeoutError", "timeout")), ("truncate", {}, ("IncompleteRead",)),
                              ("reset", {}, ("ConnectionResetError", "RemoteDisconnected")),
                              ("reset", {"after": 250}, ("ConnectionResetError", "IncompleteRead")),
                              ("big_header", {}, ("LineTooLong",))):
        r = broken(p, h, kind=kind, **more)
        ok(r in names, "fault: %s %s" % (kind, more or ""), r)
    for kind, first in (            # http.client has no timeout over all: only their beginning is looked at
            ("drip", b"{"), ("endless_chunks", b"    ")):
        control("fault", match="GET " + p, kind=kind, every_ms=20)
        c = http.client.HTTPConnection("127.0.0.1", PORT[0], timeout=2)
        c.request("GET", p, headers=h)
        start = time.monotonic()
        data = c.getresponse().read(len(first) * 4)
        ok(data.startswith(first) and time.monotonic() - start < 1.5, "fault: " + kind, data)
        c.close()
    ok(broken(p, h, kind="bom").body.startswith(b"\xef\xbb\xbf{"), "fault: bom")
    ok(broken(p, h, kind="duplicate_body").body.count(b'{"data"') == 2, "fault: duplicate_body")
    ok(broken(p, h, kind="wrong_type").headers["Content-Type"].startswith("text/html"), "fault: wrong_type")
    ok(broken(p, h, kind="deep", depth=9).body == b"[" * 9 + b"]" * 9, "fault: deep")
    ok(b"<html" in broken(p, h, kind="html").body, "fault: html")
    ok(broken(p, h, kind="garbage", body="{\"a\"").body == b"{\"a\"", "fault: garbage")
    ok(len(broken(p, h, kind="huge", bytes=3000000).body) == 3000002, "fault: huge")
    r = broken(p, h, kind="gzip_bomb", bytes=5000000)
    ok(len(r.body) < 100000 and len(gzip.decompress(r.body)) == 5000002, "fault: gzip_bomb", len(r.body))
    ok(broken(p, h, kind="redirect", location="file:///etc/passwd").headers["Location"] == "file:///etc/passwd",
       "fault: redirect")
    start = time.monotonic()
    ok(broken(p, h, kind="delay", ms=100).status == 200 and time.monotonic() - start > 0.1, "fault: delay")
    control("fault", match="POST " + p, kind="after_effect", then={"status": 504})
    want(call("POST", p, {"email": "late@x.y"}, h), 504, "fault: after_effect answers 504")
    want(call("GET", p + "?email=late@x.y", headers=h), 200, "fault: ... and the work is done",
         lambda j: len(j["data"]["users"]) == 1)
    control("fault", match="GET " + p, kind="status", status=500, skip=1, times=2)
    ok([call("GET", p, headers=h).status for _ in range(4)] == [200, 500, 500, 200], "fault: skip and times")
    ids = call("GET", "/_control/users?provider=rest").json
    control("hook", match="GET /rest/users?page=2", do={"delete": [ids[0]["id"]], "create": [{"email": "n@x.y"}]})
    call("GET", p + "?page=2", headers=h)
    now = call("GET", "/_control/users?provider=rest").json
    ok(ids[0] not in now and any(u["email"] == "n@x.y" for u in now), "hook: between two pages", now)
    control("set", provider="rest", rate=2, rate_header="date", latency_ms=0)
    got = [call("GET", p, headers=h) for _ in range(6)]
    ok(any(r.status == 429 and "GMT" in r.headers["Retry-After"] for r in got), "rate limit with a date")
    control("set", provider="rest", rate=0)
    users("rest", raw=[{"id": 9223372036854775808, "email": "a\u0000b"}, '{"id":"x","n":1e400,"id":"y","s":"\\ud800"}'])
    r = call("GET", p, headers=h)
    ok(b'9223372036854775808' in r.body and b'{"id":"x","n":1e400,"id":"y","s":"\\ud800"}' in r.body,
       "raw users go out verbatim", r.body)
    c = http.client.HTTPConnection("127.0.0.1", PORT[0], timeout=2)
    c.request("POST", p, iter([b'{"email":', b'"chunk@x.y"}']), h, encode_chunked=True)
    ok(c.getresponse().status == 201, "a chunked request body")
    c.close()
    log = call("GET", "/_control/log?provider=rest").json
    ok(log[0]["status"] == 503 and log[0]["headers"]["authorization"] == "Bearer rest-test-token"
       and any(e["method"] == "POST" and "late@x.y" in e["body"] for e in log), "log", log[:1])
    ok(call("GET", "/_control/stats").json["requests"] >= len(log), "stats")


def speed():
    users("supabase", count=20000)
    c = http.client.HTTPConnection("127.0.0.1", PORT[0], timeout=2)
    c.connect()
    one = call("GET", "/_control/users?provider=supabase").json[77]["id"]
    req = ("GET /supabase/admin/users/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (
        one, SERVICE_JWT)).encode() * 500
    start, data = time.monotonic(), b""
    c.sock.sendall(req)
    while data.count(b"HTTP/1.1 200") < 500 or not data.endswith(b"}"):
        data += c.sock.recv(1 << 20)
    ok(True, "500 pipelined requests in %.2f s" % (time.monotonic() - start))
    c.close()


def main():
    server = subprocess.Popen([sys.executable, os.path.join(HERE, "server.py"), "--until-eof"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, universal_newlines=True)
    PORT[0] = int(server.stdout.readline().split()[1])
    try:
        for part in ALL + (walks, failures, speed):
            try:
                part()
            except Exception as e:
                ok(False, "%s: %s: %s" % (part.__name__, type(e).__name__, e))
            control("reset")
        server.stdin.close()
        ok(server.wait(5) == 0, "leaves when its stdin is closed")
    finally:
        if server.poll() is None:
            server.terminate()
    print("1..%d" % COUNT[0])
    return 1 if COUNT[1] else 0


if __name__ == "__main__":
    sys.exit(main())
