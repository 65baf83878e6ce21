"""What every provider of the double shares: requests, answers, tokens, settings, routes."""
import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from email.utils import formatdate
from urllib.parse import parse_qsl, unquote

from store import Store, make_uuid, now_us, parse_time

JSON = "application/json"


class Verbatim:
    """A piece of JSON sent byte for byte; \\udc80..\\udcff in it become the raw bytes 80..ff."""
    def __init__(self, text):
        self.text = text


def dumps(obj):
    held = []

    def hold(o):
        held.append(o.text.encode("utf-8", "surrogateescape"))
        return "@@verbatim:%d@@" % (len(held) - 1)
    try:
        out = json.dumps(obj, ensure_ascii=False, separators=(",", ":"), default=hold).encode()
    except UnicodeEncodeError:
        held.clear()
        out = json.dumps(obj, separators=(",", ":"), default=hold).encode()
    for i, text in enumerate(held):
        out = out.replace(b'"@@verbatim:%d@@"' % i, text)
    return out


class Request:
    __slots__ = ("method", "target", "path", "rest", "query", "pairs", "headers", "body", "host", "conn", "client",
                 "close")

    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        self.path, _, self.query = target.partition("?")
        self.rest = self.path
        self.pairs = parse_qsl(self.query, keep_blank_values=True) if self.query else []
        self.client = None

    def arg(self, name, default=None):
        for k, v in self.pairs:
            if k == name:
                return v
        return default

    def args(self, *names):
        return [v for k, v in self.pairs if k in names]

    def header(self, name, default=""):
        return self.headers.get(name, default)

    def bearer(self):
        m = re.fullmatch(r"bearer ([^\s]+)", self.header("authorization"), re.I)
        return m.group(1) if m else None

    def form(self):
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


class Response:
    __slots__ = ("status", "body", "headers", "ctype")

    def __init__(self, status, body=b"", headers=(), ctype=JSON):
        self.status, self.body, self.headers, self.ctype = status, body, list(headers), ctype


class Fail(Exception):
    """Raised anywhere in a handler: the answer is this response."""
    def __init__(self, response):
        self.response = response


def reply(status, obj, headers=(), ctype=JSON):
    return Response(status, dumps(obj), headers, ctype)


def empty(status, headers=()):
    return Response(status, b"", headers, None)


def b64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hs256(payload, secret):
    head = b64url(b'{"alg":"HS256","typ":"JWT"}') + "." + b64url(dumps(payload))
    return head + "." + b64url(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())


def jwt_payload(text):
    """The claims of a JWT whose three parts are well formed, else None."""
    parts = text.split(".")
    try:
        if len(parts) != 3 or not unb64(parts[2]) or not isinstance(json.loads(unb64(parts[0])), dict):
            return None
        claims = json.loads(unb64(parts[1]))
        return claims if isinstance(claims, dict) else None
    except ValueError:
        return None


def number(text, low=0):
    """An unsigned decimal, else None."""
    if text is None or not re.fullmatch(r"\d{1,18}", text) or int(text) < low:
        return None
    return int(text)


COMMON = {"latency_ms": 0, "rate": 0, "rate_header": None, "retry_after": None, "token_ttl": None, "index_lag_ms": 0,
          "revoked": False, "date_offset_s": 0}


class Provider:
    """One provider: routes are (method, regex over the still encoded path, method name, needed scope or None)."""
    name = ""
    defaults = {}
    routes = ()
    ttl = 3600
    id_key = "id"
    email_key = "email"
    created_key = "created_at"
    reset_header = "x-ratelimit-reset"
    limit_headers = None                  # prefix of the headers that count down, on every answer

    def __init__(self):
        self.table = [(m, re.compile(p), getattr(self, f), s) for m, p, f, s in self.routes]
        self.reset()

    def reset(self):
        self.store = Store(self.make_id, self.render)
        self.set = dict(COMMON, **self.defaults)
        self.tokens, self.jobs = {}, {}
        self.window = (0, 0)

    @staticmethod
    def make_id(n):
        return make_uuid(n)

    def configure(self, values):
        unknown = [k for k in values if k not in self.set]
        if unknown:
            raise KeyError("no such setting of %s: %s" % (self.name, ", ".join(unknown)))
        self.set.update(values)
        self.store.lag_ms = self.set["index_lag_ms"]

    # -- requests

    def handle(self, req):
        try:
            found = False
            for method, rx, fn, scope in self.table:
                m = rx.fullmatch(req.rest)
                if not m:
                    continue
                found = True
                if method == req.method:
                    if scope != "open":
                        self.limit(req)
                        self.guard(req, scope)
                    r = fn(req, *[unquote(g) for g in m.groups()])
                    break
            else:
                r = self.no_method(req) if found else self.no_route(req)
        except Fail as f:
            r = f.response
        if self.limit_headers and r.status != 429:
            limit = self.set["rate"] or 1000
            left = max(0, limit - self.window[1]) if self.set["rate"] else limit - 1
            r.headers += [(self.limit_headers + "limit", limit), (self.limit_headers + "remaining", left),
                          (self.reset_header, int(self.now()) + 1)]
        return r

    def guard(self, req, scope):
        pass

    def no_route(self, req):
        return Response(404, b"404 page not found\n", ctype="text/plain; charset=utf-8")

    def no_method(self, req):
        return empty(405)

    def now(self):
        return time.time() + self.set["date_offset_s"]

    # -- limits: so many per second, then 429

    def limit(self, req):
        rate = self.set["rate"]
        if not rate:
            return
        second = int(time.time())
        n = self.window[1] + 1 if self.window[0] == second else 1
        self.window = (second, n)
        if n <= rate:
            return
        how, headers = self.set["rate_header"] or self.rate_header, []
        if self.set["retry_after"] is not None:
            headers.append(("retry-after", self.set["retry_after"]))
        elif how == "retry-after":
            headers.append(("retry-after", "1"))
        elif how == "date":
            headers.append(("retry-after", formatdate(self.now() + 1, usegmt=True)))
        elif how == "reset":
            headers.append((self.reset_header, str(int(self.now()) + 1)))
        if self.limit_headers and how != "none":
            headers += [(self.limit_headers + "limit", rate), (self.limit_headers + "remaining", 0)]
            if how != "reset":
                headers.append((self.reset_header, str(int(self.now()) + 1)))
        r = self.too_many()
        r.headers += headers
        raise Fail(r)

    rate_header = "retry-after"

    def too_many(self):
        return reply(429, {"message": "Too Many Requests"})

    # -- tokens

    def issue(self, scopes, prefix=None, claims=None):
        ttl = self.set["token_ttl"] or self.ttl
        body = dict(claims or {}, iat=int(time.time()), exp=int(time.time() + ttl), jti=secrets.token_hex(8))
        token = prefix + secrets.token_urlsafe(40) if prefix else ".".join(
            [b64url(b'{"alg":"RS256","typ":"JWT","kid":"double-1"}'), b64url(dumps(body)), secrets.token_urlsafe(64)])
        self.tokens[token] = (time.monotonic() + ttl, frozenset(scopes))
        return token, ttl

    def scopes_of(self, token):
        """The scopes of a token; "expired", or None if it was never given out."""
        have = self.tokens.get(token)
        if have is None:
            return None
        return have[1] if have[0] > time.monotonic() and not self.set["revoked"] else "expired"

    def expire(self):
        """Every token given out so far is dead; where the credential is fixed, it is refused until set otherwise."""
        if self.tokens:
            self.tokens = {t: (0, s) for t, (_, s) in self.tokens.items()}
        else:
            self.set["revoked"] = True

    # -- users

    def render(self, u):
        return u.raw if u.raw is not None else self.native(u)

    def native(self, u):
        raise NotImplementedError

    def note(self, req, **more):
        return dict(more, via="api", method=req.method, path=req.path)

    def add_raw(self, obj):
        text = None
        if isinstance(obj, str):
            text = Verbatim(obj)
            try:
                obj = json.loads(obj)
            except ValueError:
                obj = {}
        get = obj.get if isinstance(obj, dict) else lambda k: None
        uid = get(self.id_key)
        uid = str(uid) if isinstance(uid, (str, int, float)) and str(uid) else "raw-%d" % (self.store.seq + 1)
        u = self.store.new(uid, get(self.email_key) if isinstance(get(self.email_key), str) else None)
        u.created = u.updated = parse_time(get(self.created_key)) or now_us()
        u.raw = text if text is not None else obj
        return self.store.add(u)


def window(order, offset, limit, desc=False):
    """A page of a sorted list without copying the rest."""
    if not desc:
        return order[offset:offset + limit]
    n = len(order)
    return order[max(0, n - offset - limit):max(0, n - offset)][::-1]


def body_object(req, fail):
    """The body as a JSON object, or the provider's own complaint."""
    try:
        obj = json.loads(req.body)
    except (ValueError, RecursionError):
        raise Fail(fail) from None
    if not isinstance(obj, dict):
        raise Fail(fail)
    return obj
