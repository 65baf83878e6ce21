"""Auth0 Management API v2: /oauth/token and /api/v2.

Settings beyond the common ones: per_page_max, window (the wall, 1000 rows), total_capped (total never says more than
the wall), index_lag_ms (lists are late, reading one user is not), logs_retention_s, logs_expired_status (200: from
the oldest).
"""
import bisect
import json

import auth0_logs
from common import Fail, Provider, body_object, empty, number, reply
from lucene import And, Equal, Range, Syntax, parse
from store import iso, make_base32

ALL = ("read:users create:users update:users delete:users update:users_app_metadata read:logs read:events "
       "read:stats").split()
CLIENTS = {"m2m": ALL, "m2m-read": ["read:users"], "m2m-nodelete": [s for s in ALL if s != "delete:users"],
           "m2m-none": None}
DB = "Username-Password-Authentication"
ROOT = ("email email_verified phone_number phone_verified blocked name nickname given_name family_name picture "
        "username").split()
WRITABLE = set(ROOT) | {"connection", "password", "user_id", "verify_email", "verify_phone_number", "user_metadata",
                        "app_metadata", "client_id", "verify_password"}
SORTS = {"created_at": lambda u: u.created, "updated_at": lambda u: u.updated, "user_id": lambda u: u.id,
         "email": lambda u: str(u.email or ""), "name": lambda u: str(u.name or ""), "last_login": lambda u: u.last or 0}


class Auth0(auth0_logs.Logs, Provider):
    name = "auth0"
    id_key = "user_id"
    ttl = 86400
    limit_headers = "x-ratelimit-"
    rate_header = "reset"
    defaults = {"per_page_max": 100, "window": 1000, "total_capped": False, "logs_retention_s": None,
                "logs_expired_status": 200}
    routes = (
        ("POST", r"/oauth/token", "token", "open"),
        ("GET", r"/api/v2/users", "list", "read:users"),
        ("POST", r"/api/v2/users", "create", "create:users"),
        ("GET", r"/api/v2/users-by-email", "by_email", "read:users"),
        ("GET", r"/api/v2/users/([^/]+)", "get", "read:users"),
        ("PATCH", r"/api/v2/users/([^/]+)", "update", "update:users"),
        ("DELETE", r"/api/v2/users/([^/]+)", "delete", "delete:users"),
        ("GET", r"/api/v2/stats/active-users", "active", "read:stats"),
        ("GET", r"/api/v2/logs", "logs", "read:logs"),
        ("GET", r"/api/v2/events", "events", "read:events"),
        ("POST", r"/api/v2/jobs/users-exports", "export", "read:users"),
        ("GET", r"/api/v2/jobs/([^/]+)", "job", "read:users"),
        ("GET", r"/export/([^/]+)\.gz", "download", "open"),
    )

    @staticmethod
    def make_id(n):
        return "auth0|" + make_base32(n, 24, "0123456789abcdef")

    def err(self, status, error, message, code=None, **more):
        body = {"statusCode": status, "error": error, "message": message}
        if code:
            body["errorCode"] = code
        return reply(status, dict(body, **more), ctype="application/json; charset=utf-8")

    def bad(self, code, message):
        return self.err(400, "Bad Request", message, code)

    def too_many(self):
        return self.err(429, "Too Many Requests", "Global limit has been reached", "too_many_requests")

    def no_route(self, req):
        return self.err(404, "Not Found", "Not Found")

    def no_method(self, req):
        return self.err(404, "Not Found", "Not Found")

    # -- tokens

    def token(self, req):
        def oauth(status, error, text):
            return Fail(reply(status, {"error": error, "error_description": text}))
        if req.header("content-type").startswith("application/x-www-form-urlencoded"):
            p = req.form()
        else:
            p = body_object(req, reply(400, {"error": "invalid_request", "error_description": "Invalid body"}))
        if p.get("grant_type") != "client_credentials":
            raise oauth(403, "unsupported_grant_type", "Unsupported grant type: %s" % p.get("grant_type"))
        if p.get("client_id") not in CLIENTS or p.get("client_secret") != "s3cret":
            raise oauth(401, "access_denied", "Unauthorized")
        scopes = CLIENTS[p["client_id"]]
        if p.get("audience") != req.host + "/auth0/api/v2/":
            raise oauth(403, "access_denied", "Service not enabled within domain: %s" % p.get("audience"))
        if scopes is None:
            raise oauth(403, "access_denied", "Client is not authorized to access \"%s\"" % p["audience"])
        token, ttl = self.issue(scopes, claims={"iss": req.host + "/auth0/", "aud": p["audience"],
                                                "sub": p["client_id"] + "@clients", "scope": " ".join(scopes)})
        return reply(200, {"access_token": token, "scope": " ".join(scopes), "expires_in": int(ttl),
                           "token_type": "Bearer"})

    def guard(self, req, scope):
        token = req.bearer()
        if token is None:
            raise Fail(self.err(401, "Unauthorized", "Missing authentication"))
        have = self.scopes_of(token)
        if have is None:
            raise Fail(self.err(401, "Unauthorized", "Invalid token"))
        if have == "expired":
            raise Fail(self.err(401, "Unauthorized", "Expired token received for JSON Web Token validation"))
        if scope not in have:
            raise Fail(self.err(403, "Forbidden", "Insufficient scope, expected any of: " + scope,
                                "insufficient_scope"))

    # -- a user as JSON: what was never set is absent

    def native(self, u):
        kind, _, rest = u.id.partition("|")
        conn = u.get("connection", DB)
        out = {"user_id": u.id}
        if u.email is not None:
            out["email"] = u.email
        out["email_verified"] = bool(u.verified)
        for key, v in (("name", u.name or u.email), ("nickname", u.nickname), ("given_name", u.get("given_name")),
                       ("family_name", u.get("family_name")), ("picture", u.picture), ("username", u.username),
                       ("phone_number", u.phone), ("phone_verified", u.get("phone_verified"))):
            if v is not None:
                out[key] = v
        out.update(created_at=iso(u.created), updated_at=iso(u.updated))
        if u.last is not None:
            out.update(last_login=iso(u.last), last_ip="203.0.113.1", logins_count=u.get("logins_count", 1))
        if u.blocked or u.get("blocked_set"):
            out["blocked"] = bool(u.blocked)
        out["identities"] = u.get("identities") or [
            {"connection": conn, "provider": kind, "user_id": u.get("identity_user_id", rest),
             "isSocial": kind not in ("auth0", "email", "sms")}]
        if u.app is not None:
            out["app_metadata"] = u.app
        if u.meta is not None:
            out["user_metadata"] = u.meta
        out.update(u.get("root", {}))
        return out

    # -- lists

    def list(self, req):
        if len(req.target) > 8000:
            raise Fail(self.err(414, "Request-URI Too Large", "URI too long"))
        page, size = number(req.arg("page", "0")), number(req.arg("per_page", "50"))
        if page is None or size is None or size > self.set["per_page_max"]:
            raise Fail(self.bad("invalid_query_string", "Query validation error: 'per_page' or 'page' is out of range "
                                "(maximum %d)" % self.set["per_page_max"]))
        if req.arg("page") is None:
            size = min(size, 50)
        if (page + 1) * size > self.set["window"]:
            raise Fail(self.bad("invalid_paging", "You can only page through the first 1000 records. See "
                                "https://auth0.com/docs/users/search/v3/view-search-results-by-page#limitation"))
        off = page * size
        rows, total = self.search(req, off, size, req.arg("include_totals") == "true")
        rows = self.cut(req, [self.render(u) for u in rows])
        if req.arg("include_totals") != "true":
            return self.ok(rows)
        if self.set["total_capped"]:
            total = min(total, self.set["window"])
        return self.ok({"start": off, "limit": size, "length": len(rows), "total": total, "users": rows})

    @staticmethod
    def ok(obj, status=200):
        return reply(status, obj, ctype="application/json; charset=utf-8")

    def search(self, req, off, size, count):
        field, _, way = (req.arg("sort") or "created_at:1").partition(":")
        if field not in SORTS or way not in ("1", "-1"):
            raise Fail(self.bad("invalid_query_string", "Query validation error: sort"))
        try:
            cond = parse(req.arg("q"), self.render) if (req.arg("q") or "").strip() else None
        except Syntax as e:
            raise Fail(self.bad("invalid_query_string", "Query error: %s" % e)) from None
        parts = cond.parts if type(cond) is And else [] if cond is None else [cond]
        seen = self.store.overlay()
        if seen:                                       # the index is behind: the slow way, over what it knows
            rows = [u for u in self.store.order if u.id not in seen] + [u for u in seen.values() if u is not None]
            rows = sorted(((SORTS[field](u), u.seq, u) for u in rows))
            rest = parts
        else:
            rows, rest = self.narrow(field, parts)
        if way == "-1":
            rows = _Reversed(rows)
        if not rest:
            return [rows[i][2] for i in range(off, min(off + size, len(rows)))], len(rows)
        out, n = [], 0
        for row in rows:
            if all(p(row[2]) for p in rest):
                if off <= n < off + size:
                    out.append(row[2])
                n += 1
                if n >= off + size and not count:
                    break
        return out, n

    def narrow(self, field, parts):
        """The sorted rows that can match, by bisection, and the conditions that are still to be tested."""
        for p in parts:
            if type(p) is Equal and p.field == "email" and not p.prefix:
                rows = sorted((SORTS[field](u), u.seq, u) for u in self.store.with_email(p.value))
                return rows, parts
        rows = self.store.view(field, SORTS[field])
        rest = list(parts)
        for p in parts:
            if type(p) is Range and p.attr == {"created_at": "created", "updated_at": "updated"}.get(field):
                lo = 0 if p.low is None else bisect.bisect_left(rows, ((p.low + (not p.low_in)) * 1000,))
                hi = len(rows) if p.high is None else bisect.bisect_left(rows, ((p.high + bool(p.high_in)) * 1000,))
                rows = _Slice(rows, lo, max(lo, hi))
                rest.remove(p)
                break
        return rows, rest

    @staticmethod
    def cut(req, rows):
        names = (req.arg("fields") or "").split(",") if req.arg("fields") else None
        if not names:
            return rows
        keep = req.arg("include_fields", "true") != "false"
        return [{k: v for k, v in r.items() if (k in names) == keep} if isinstance(r, dict) else r for r in rows]

    def by_email(self, req):
        email = req.arg("email")
        if not email:
            raise Fail(self.bad("invalid_query_string", "Query validation error: 'Missing required property: email'"))
        return self.ok([self.render(u) for u in self.store.with_email(email) if u.email == email])

    def active(self, req):
        return self.ok(len(self.store))

    # -- one user

    def get(self, req, uid):
        u = self.store.by_id.get(uid)
        if u is None:
            raise Fail(self.err(404, "Not Found", "The user does not exist.", "inexistent_user"))
        return self.ok(self.cut(req, [self.render(u)])[0])

    def params(self, req):
        p = body_object(req, self.bad("invalid_body", "Invalid request payload JSON format"))
        wrong = [k for k in p if k not in WRITABLE]
        for k in ("user_metadata", "app_metadata"):
            if not isinstance(p.get(k), (dict, type(None))):
                wrong.append(k)
        for k in ("blocked", "email_verified", "phone_verified"):
            if not isinstance(p.get(k), (bool, type(None))):
                wrong.append(k)
        for k in ("email", "name", "nickname", "phone_number", "picture", "username", "password", "connection"):
            if not isinstance(p.get(k), (str, type(None))) or (k == "name" and len(p.get(k) or "") > 300):
                wrong.append(k)
        if p.get("email") is not None and "email" not in wrong and "@" not in p["email"]:
            wrong.append("email")
        if wrong:
            raise Fail(self.bad("invalid_body", "Payload validation error: '%s'" % wrong[0]))
        return p

    def clash(self, p, conn, but=None):
        return p.get("email") and any(u is not but and u.get("connection", DB) == conn
                                      for u in self.store.with_email(p["email"]))

    def create(self, req):
        p = self.params(req)
        conn = p.get("connection")
        if not conn:
            raise Fail(self.bad("invalid_body", "Payload validation error: 'Missing required property: connection'"))
        kind = {"email": "email", "sms": "sms"}.get(conn, "auth0")
        if kind == "auth0" and not p.get("password"):
            raise Fail(self.bad("invalid_body", "Payload validation error: 'Missing required property: password'"))
        if kind == "auth0" and len(p["password"]) < 8:
            raise Fail(self.bad("invalid_password", "PasswordStrengthError: Password is too weak"))
        if not (p.get("email") or p.get("phone_number") or p.get("username")):
            raise Fail(self.bad("invalid_body", "Payload validation error: 'Missing required property: email'"))
        uid = kind + "|" + p["user_id"] if p.get("user_id") else None
        if self.clash(p, conn) or uid in self.store.by_id:
            raise Fail(self.err(409, "Conflict", "The user already exists.", "auth0_idp_error"))
        u = self.store.new(uid)
        if conn != DB:
            u.put(connection=conn)
        self.assign(u, p)
        self.store.add(u, self.note(req, status=201))
        return self.ok(self.render(u), 201)

    @staticmethod
    def assign(u, p):
        if "email" in p:
            u.email = p["email"].lower() if p["email"] else None
        for key, attr in (("name", "name"), ("nickname", "nickname"), ("picture", "picture"), ("username", "username"),
                          ("phone_number", "phone")):
            if key in p:
                setattr(u, attr, p[key])
        if "email_verified" in p:
            u.verified = bool(p["email_verified"])
        if "blocked" in p:
            u.blocked = bool(p["blocked"])
            u.put(blocked_set=True if p["blocked"] is not None else None)
        u.put(**{k: p[k] for k in ("given_name", "family_name", "phone_verified") if k in p})
        for key, attr in (("user_metadata", "meta"), ("app_metadata", "app")):
            if key in p:                               # one level deep: inner objects are replaced whole
                new = dict(getattr(u, attr) or {}) if p[key] is not None else {}
                for k, v in (p[key] or {}).items():
                    if v is None:
                        new.pop(k, None)
                    else:
                        new[k] = v
                setattr(u, attr, new)

    def update(self, req, uid):
        u = self.store.by_id.get(uid)
        p = self.params(req)
        if u is None:
            raise Fail(self.err(404, "Not Found", "The user does not exist.", "inexistent_user"))
        if not p:
            raise Fail(self.bad("invalid_body", "Payload validation error: 'Too few properties defined (0)'"))
        if "email" in p and ("password" in p or "username" in p):
            raise Fail(self.bad("invalid_body", "Cannot update email and password or username simultaneously"))
        if uid.partition("|")[0] not in ("auth0", "email", "sms") and any(k in p for k in ROOT if k != "blocked"):
            raise Fail(self.bad("operation_not_supported", "The following user attributes cannot be updated: they "
                                "come from the identity provider"))
        if self.clash(p, u.get("connection", DB), u):
            raise Fail(self.bad("auth0_idp_error", "The specified new email already exists"))
        self.store.change(u, lambda u: (self.unraw(u), self.assign(u, p)), self.note(req, status=200))
        return self.ok(self.render(u))

    @staticmethod
    def unraw(u):
        u.raw = None

    def delete(self, req, uid):
        u = self.store.by_id.get(uid)
        if u is not None:
            self.store.remove(u, self.note(req, status=204))
        return empty(204)


class _Slice:
    """A part of a list, without a copy."""
    def __init__(self, rows, lo, hi):
        self.rows, self.lo, self.hi = rows, lo, hi

    def __len__(self):
        return self.hi - self.lo

    def __getitem__(self, i):
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.rows[self.lo + i]


class _Reversed(_Slice):
    def __init__(self, rows):
        super().__init__(rows, 0, len(rows))

    def __getitem__(self, i):
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self.rows[self.hi - 1 - i]
