"""What the self test of the double calls it with, and how it reports."""
import http.client
import json
from urllib.parse import urlencode

COUNT = [0, 0]
PORT = [0]


def ok(what, name, *seen):
    COUNT[0] += 1
    COUNT[1] += not what
    print("%s %d - %s" % ("ok" if what else "not ok", COUNT[0], name))
    if not what:
        for s in seen:
            print("#   " + repr(s)[:600])


class Reply:
    def __init__(self, r, body):
        self.status, self.body, self.headers = r.status, body, r.headers
        try:
            self.json = json.loads(body) if body else None
        except ValueError:
            self.json = None


CONN = []


def call(method, path, body=None, headers=None, timeout=5, form=False):
    if not CONN:
        CONN.append(http.client.HTTPConnection("127.0.0.1", PORT[0], timeout=timeout))
    headers = dict(headers or {})
    if body is not None and not isinstance(body, (bytes, str)):
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded" if form else "application/json")
        body = urlencode(body) if form else json.dumps(body)
    try:
        CONN[0].timeout = timeout
        if CONN[0].sock:
            CONN[0].sock.settimeout(timeout)
        CONN[0].request(method, path, body, headers)
        r = CONN[0].getresponse()
        return Reply(r, r.read())
    except Exception:
        CONN.pop().close()
        raise


def control(what, body=None, **more):
    r = call("POST", "/_control/" + what, dict(body or {}, **more))
    if r.status != 200:
        raise SystemExit("control %s: %s" % (what, r.body))
    return r.json


def users(provider, **more):
    return control("users", provider=provider, **more)


def want(r, status, name, check=None):
    good = r.status == status
    try:
        good = good and (check is None or bool(check(r.json)))
    except Exception as e:
        good = False
        name += " (%s: %s)" % (type(e).__name__, e)
    ok(good, name, r.status, r.body)
    return r


def bearer(token):
    return {"Authorization": "Bearer " + token}
