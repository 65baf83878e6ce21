"""WorkOS User Management: /user_management/users and /events.

Settings beyond the common ones: after_deleted ("restart": after=<a deleted id> begins again, as its emulator does;
"error": 422), events_retention_s, duplicate_status (409 or 422).
"""
import bisect

from common import Fail, Provider, body_object, empty, number, reply, window
from store import iso, make_base32, now_us, parse_time

TOKENS = {"sk_test_default": "write", "sk_test_read": "read"}
KINDS = {"create": "user.created", "update": "user.updated", "delete": "user.deleted"}


class WorkOS(Provider):
    name = "workos"
    limit_headers = "X-RateLimit-"
    reset_header = "X-RateLimit-Reset"
    defaults = {"after_deleted": "restart", "events_retention_s": None, "duplicate_status": 409}
    routes = (
        ("GET", r"/user_management/users", "list", "read"),
        ("POST", r"/user_management/users", "create", "write"),
        ("GET", r"/user_management/users/([^/]+)", "get", "read"),
        ("PUT", r"/user_management/users/([^/]+)", "update", "write"),
        ("DELETE", r"/user_management/users/([^/]+)", "delete", "write"),
        ("GET", r"/user_management/users/external_id/([^/]+)", "by_external", "read"),
        ("GET", r"/events", "events", "read"),
    )

    @staticmethod
    def make_id(n):
        return "user_01" + make_base32(n, 24)

    def err(self, status, code, message, *errors):
        body = {"message": message, "code": code}
        if errors:
            body["errors"] = [{"field": f, "code": c} for f, c in errors]
        return reply(status, body)

    def too_many(self):
        return self.err(429, "rate_limit_exceeded", "Too Many Requests")

    def no_route(self, req):
        return self.err(404, "not_found", "Not Found")

    no_method = no_route

    def guard(self, req, scope):
        have = TOKENS.get(req.bearer() or "")
        if have is None or self.set["revoked"]:
            raise Fail(self.err(401, "unauthorized", "Unauthorized"))
        if scope == "write" and have != "write":
            raise Fail(self.err(403, "forbidden", "Forbidden"))

    def native(self, u):
        first, _, last = (u.name or "").partition(" ")
        return {"object": "user", "id": u.id, "email": u.email, "first_name": u.get("first_name", first or None),
                "last_name": u.get("last_name", last or None), "email_verified": bool(u.verified),
                "profile_picture_url": u.picture, "external_id": u.get("external_id"), "metadata": u.meta or {},
                "last_sign_in_at": None if u.last is None else iso(u.last), "locale": u.get("locale"),
                "created_at": iso(u.created), "updated_at": iso(u.updated)}

    # -- lists: before / after name an object

    def page_size(self, req):
        limit = number(req.arg("limit", "10"), 1)
        if limit is None:
            raise Fail(self.err(422, "unprocessable_entity", "limit must be a positive number", ("limit", "invalid")))
        return min(limit, 100)

    def list(self, req):
        limit, order = self.page_size(req), req.arg("order", "desc")
        if order not in ("asc", "desc", "normal"):
            raise Fail(self.err(422, "unprocessable_entity", "order is invalid", ("order", "invalid")))
        rows = self.store.order
        if req.arg("email"):
            rows = sorted(self.store.with_email(req.arg("email")))
        if req.arg("organization_id"):
            rows = [u for u in rows if req.arg("organization_id") in u.get("organizations", ())]
        desc, at, n = order == "desc", 0, len(rows)
        mark = req.arg("after") or req.arg("before")
        if mark:
            u = self.store.by_id.get(mark)
            if u is None and self.set["after_deleted"] != "restart":
                raise Fail(self.err(422, "unprocessable_entity", "The object named does not exist", ("after", "invalid")))
            if u is not None:
                i = bisect.bisect_left(rows, u)
                i = n - 1 - i if desc else i
                at = i + 1 if req.arg("after") else max(0, i - limit)
                if not req.arg("after"):
                    limit = min(limit, i)
        found = window(rows, at, limit, desc)
        more = at + len(found) < n
        return reply(200, {"object": "list", "data": [self.render(u) for u in found], "list_metadata": {
            "before": found[0].id if found and at > 0 else None, "after": found[-1].id if found and more else None}})

    def events(self, req):
        want, limit = set(req.args("events", "events[]")), self.page_size(req)
        if not want:
            raise Fail(self.err(422, "unprocessable_entity", "events is required", ("events", "required")))
        keep, rows = self.set["events_retention_s"], self.store.changes
        if keep is not None:
            edge = now_us() - int(keep * 1e6)
            rows = [c for c in rows if c["t"] >= edge]
        lo, hi = parse_time(req.arg("range_start")), parse_time(req.arg("range_end"))
        rows = [c for c in rows if KINDS[c["op"]] in want and (lo is None or c["t"] >= lo)
                and (hi is None or c["t"] < hi)]
        if req.arg("order", "asc") == "desc":
            rows = rows[::-1]
        after = req.arg("after")
        if after:
            n = number(after.rpartition("_")[2].lstrip("0") or "0")
            known = [i for i, c in enumerate(rows) if c["n"] == n]
            if not known and (n is None or n > len(self.store.changes) or keep is not None):
                raise Fail(self.err(400, "invalid_cursor", "The event named in after was not found"))
            if known:
                rows = rows[known[0] + 1:]
            else:                                      # of a kind that was not asked for
                rows = [c for c in rows if (c["n"] > n) == (req.arg("order", "asc") != "desc")]
        found = rows[:limit]
        data = [{"object": "event", "id": "event_%026d" % c["n"], "event": KINDS[c["op"]], "data": c["user"],
                 "environment_id": None, "created_at": iso(c["t"])} for c in found]
        return reply(200, {"object": "list", "data": data, "list_metadata": {
            "before": None, "after": data[-1]["id"] if len(rows) > limit else None}})

    # -- one user

    def find(self, uid):
        u = self.store.by_id.get(uid)
        if u is None:
            raise Fail(self.err(404, "not_found", "User not found"))
        return u

    def get(self, req, uid):
        return reply(200, self.render(self.find(uid)))

    def by_external(self, req, text):
        for u in self.store.order:
            if u.get("external_id") == text:
                return reply(200, self.render(u))
        raise Fail(self.err(404, "not_found", "User not found"))

    def params(self, req):
        p = body_object(req, self.err(400, "bad_request", "The body is not valid JSON"))
        if p.get("email") is not None and (not isinstance(p["email"], str) or "@" not in p["email"]):
            raise Fail(self.err(422, "unprocessable_entity", "email is invalid", ("email", "invalid")))
        meta = p.get("metadata")
        if meta is not None and (not isinstance(meta, dict)
                                 or any(not isinstance(v, (str, type(None))) for v in meta.values())):
            raise Fail(self.err(422, "unprocessable_entity", "metadata values must be strings", ("metadata", "invalid")))
        return p

    def taken(self, email, but=None):
        if any(o is not but for o in self.store.with_email(email)):
            raise Fail(self.err(self.set["duplicate_status"], "user_already_exists",
                                "A user with this email already exists", ("email", "email_not_available")))

    @staticmethod
    def assign(u, p):
        u.raw = None
        if u.name and ("first_name" in p or "last_name" in p):
            first, _, last = u.name.partition(" ")
            u.put(first_name=first, last_name=last)
            u.name = None
        for k in ("first_name", "last_name", "external_id", "locale"):
            if k in p:
                u.put(**{k: p[k]})
        if p.get("email"):
            u.email = p["email"].lower()
        if isinstance(p.get("email_verified"), bool):
            u.verified = p["email_verified"]
        if p.get("metadata") is not None:
            u.meta = {k: v for k, v in dict(u.meta or {}, **p["metadata"]).items() if v is not None}

    def create(self, req):
        p = self.params(req)
        if not p.get("email"):
            raise Fail(self.err(422, "unprocessable_entity", "email is required", ("email", "required")))
        self.taken(p["email"])
        u = self.store.new(None, p["email"].lower())
        self.assign(u, p)
        self.store.add(u, self.note(req))
        return reply(201, self.render(u))

    def update(self, req, uid):
        u, p = self.find(uid), self.params(req)
        if p.get("email"):
            self.taken(p["email"], u)
        self.store.change(u, lambda u: self.assign(u, p), self.note(req))
        return reply(200, self.render(u))

    def delete(self, req, uid):
        self.store.remove(self.find(uid), self.note(req))
        return empty(204)
