"""A made-up plain JSON API, for the provider that is described by settings: /rest.

    GET    /rest/users?page=1&per_page=50        {"users":[...],"page":1,"per_page":50,"total":N}
    GET    /rest/users?offset=0&limit=50         {"items":[...],"offset":0,"limit":50,"total":N}
    GET    /rest/users?limit=50[&page_token=T]   {"data":{"users":[...]},"next_page_token":T}    no token on the last page
    GET    /rest/users.json?...                  the same, as a bare array
    GET    /rest/users?email=a@b, ?updated_since=ISO    with any of the three
    GET    /rest/users/count                     {"count":N}
    GET    /rest/users/ID                        200, 404 {"error":{"code":"not_found","message":...}}
    POST   /rest/users                           201; 409 "conflict" on a used e-mail, 422 "invalid" without one
    PATCH  /rest/users/ID                        200; PUT replaces
    DELETE /rest/users/ID                        204, then 404

A user: {"id","email","email_verified","name","nickname","picture","phone","active","created_at","updated_at",
"last_login_at","attributes":{}}. Order: id. Most per page: 200 (setting max_page). Setting next_style: "token" (as
above), "url" (absolute, in "next"), "link" (Link header), "last_id" (the token is the last id).
"""
import bisect

from common import Fail, Provider, b64url, body_object, empty, number, reply, unb64
from store import iso, make_base32, parse_time

TOKENS = {"rest-test-token": "write", "rest-read-token": "read"}
KEYS = {"email_verified": "verified", "name": "name", "nickname": "nickname", "picture": "picture", "phone": "phone",
        "attributes": "meta"}


class Rest(Provider):
    name = "rest"
    defaults = {"max_page": 200, "next_style": "token"}
    routes = (
        ("GET", r"/users(?:\.json)?", "list", "read"),
        ("GET", r"/users/count", "count", "read"),
        ("POST", r"/users", "create", "write"),
        ("GET", r"/users/([^/]+)", "get", "read"),
        ("PATCH", r"/users/([^/]+)", "update", "write"),
        ("PUT", r"/users/([^/]+)", "replace", "write"),
        ("DELETE", r"/users/([^/]+)", "delete", "write"),
    )

    @staticmethod
    def make_id(n):
        return "u_" + make_base32(n, 16, "0123456789abcdefghjkmnpqrstvwxyz")

    def err(self, status, code, message):
        return reply(status, {"error": {"code": code, "message": message}})

    def too_many(self):
        return self.err(429, "rate_limited", "Too many requests")

    def no_route(self, req):
        return self.err(404, "no_such_route", "There is nothing here")

    def no_method(self, req):
        return self.err(405, "method_not_allowed", "Not with this method")

    def guard(self, req, scope):
        have = TOKENS.get(req.bearer() or "")
        if have is None or self.set["revoked"]:
            raise Fail(self.err(401, "unauthorized", "The token is missing or wrong"))
        if scope == "write" and have != "write":
            raise Fail(self.err(403, "forbidden", "The token may only read"))

    def native(self, u):
        return {"id": u.id, "email": u.email, "email_verified": bool(u.verified), "name": u.name,
                "nickname": u.nickname, "picture": u.picture, "phone": u.phone, "active": not u.blocked,
                "created_at": iso(u.created), "updated_at": iso(u.updated),
                "last_login_at": None if u.last is None else iso(u.last), "attributes": u.meta or {}}

    # -- lists

    def rows(self, req):
        rows = self.store.view("id", lambda u: u.id)
        if req.arg("email"):
            rows = sorted((u.id, u.seq, u) for u in self.store.with_email(req.arg("email")))
        if req.arg("updated_since"):
            since = parse_time(req.arg("updated_since"))
            if since is None:
                raise Fail(self.err(400, "bad_parameter", "updated_since is not a time"))
            rows = [r for r in rows if r[2].updated >= since]
        return rows

    def count(self, req):
        return reply(200, {"count": len(self.rows(req))})

    def size(self, req, name):
        n = number(req.arg(name, "50"), 1)
        if n is None:
            raise Fail(self.err(400, "bad_parameter", name + " must be a positive number"))
        return min(n, self.set["max_page"])

    def list(self, req):
        rows, bare = self.rows(req), req.rest.endswith(".json")
        if req.arg("page") is not None or req.arg("per_page") is not None:
            page, size = number(req.arg("page", "1"), 1), self.size(req, "per_page")
            if page is None:
                raise Fail(self.err(400, "bad_parameter", "page must be a positive number"))
            out = self.users(rows[(page - 1) * size:page * size])
            return reply(200, out if bare else {"users": out, "page": page, "per_page": size, "total": len(rows)})
        size = self.size(req, "limit")
        if req.arg("offset") is not None:
            off = number(req.arg("offset"))
            if off is None:
                raise Fail(self.err(400, "bad_parameter", "offset must be a number"))
            out = self.users(rows[off:off + size])
            return reply(200, out if bare else {"items": out, "offset": off, "limit": size, "total": len(rows)})
        return self.by_token(req, rows, size, bare)

    def by_token(self, req, rows, size, bare):
        style, token, at = self.set["next_style"], req.arg("page_token"), 0
        if token:
            try:
                last = token if style == "last_id" else unb64(token).decode()
                if style != "last_id" and not last.startswith("after:"):
                    raise ValueError
            except ValueError:
                raise Fail(self.err(400, "bad_token", "page_token is not one of ours")) from None
            last = last if style == "last_id" else last[len("after:"):]
            at = bisect.bisect_right(rows, (last, float("inf")))
        found = rows[at:at + size]
        out, headers = {"data": {"users": self.users(found)}}, []
        if at + size < len(rows):
            token = found[-1][0] if style == "last_id" else b64url(("after:" + found[-1][0]).encode())
            url = "%s%s?limit=%d&page_token=%s" % (req.host, req.path, size, token)
            if style == "url":
                out["next"] = url
            elif style == "link":
                headers.append(("Link", '<%s>; rel="next"' % url))
            else:
                out["next_page_token"] = token
        return reply(200, out["data"]["users"] if bare else out, headers)

    def users(self, rows):
        return [self.render(r[2]) for r in rows]

    # -- one user

    def find(self, uid):
        u = self.store.by_id.get(uid)
        if u is None:
            raise Fail(self.err(404, "not_found", "No such user"))
        return u

    def get(self, req, uid):
        return reply(200, self.render(self.find(uid)))

    def params(self, req, but=None):
        p = body_object(req, self.err(400, "bad_json", "The body must be a JSON object"))
        mail = p.get("email")
        if mail is not None and (not isinstance(mail, str) or "@" not in mail):
            raise Fail(self.err(422, "invalid", "email is not an address"))
        if mail and any(o is not but for o in self.store.with_email(mail)):
            raise Fail(self.err(409, "conflict", "The e-mail is in use"))
        return p

    @staticmethod
    def assign(u, p, whole=False):
        u.raw = None
        for k, attr in KEYS.items():
            if k in p or whole:
                setattr(u, attr, p.get(k))
        if p.get("email"):
            u.email = p["email"]
        if "active" in p or whole:
            u.blocked = not p.get("active", True)

    def create(self, req):
        p = self.params(req)
        if not p.get("email"):
            raise Fail(self.err(422, "invalid", "email is required"))
        if p.get("id") in self.store.by_id:
            raise Fail(self.err(409, "conflict", "The id is in use"))
        u = self.store.new(p.get("id"), p["email"])
        self.assign(u, p)
        self.store.add(u, self.note(req))
        return reply(201, self.render(u), [("Location", req.path + "/" + u.id)])

    def update(self, req, uid, whole=False):
        u = self.find(uid)
        p = self.params(req, u)
        self.store.change(u, lambda u: self.assign(u, p, whole), self.note(req))
        return reply(200, self.render(u))

    def replace(self, req, uid):
        return self.update(req, uid, True)

    def delete(self, req, uid):
        self.store.remove(self.find(uid), self.note(req))
        return empty(204)
