"""Clerk, the Backend API: /v1/users.

Settings beyond the common ones: new_version (as from 2026-05-12: PATCH /users/{id} refuses metadata; a
Clerk-API-Version header of that day or later does the same), deep_offset (an offset beyond it times out with 504).
"""
import bisect

from common import Fail, Provider, body_object, number, reply, window
from store import make_base32, now_us

B62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKENS = {"sk_test_double": "write", "sk_test_read": "read"}
META = ("public_metadata", "private_metadata", "unsafe_metadata")
ORDERS = {"created_at": lambda u: u.created, "updated_at": lambda u: u.updated,
          "email_address": lambda u: str(u.email or ""), "username": lambda u: str(u.username or ""),
          "last_sign_in_at": lambda u: u.last or 0}


class Clerk(Provider):
    name = "clerk"
    defaults = {"new_version": False, "deep_offset": None}
    routes = (
        ("GET", r"/v1/users", "list", "read"),
        ("GET", r"/v1/users/count", "count", "read"),
        ("POST", r"/v1/users", "create", "write"),
        ("GET", r"/v1/users/([^/]+)", "get", "read"),
        ("PATCH", r"/v1/users/([^/]+)", "update", "write"),
        ("DELETE", r"/v1/users/([^/]+)", "delete", "write"),
        ("PATCH", r"/v1/users/([^/]+)/metadata", "metadata", "write"),
        ("POST", r"/v1/users/([^/]+)/(ban|unban|lock|unlock)", "switch", "write"),
    )

    @staticmethod
    def make_id(n):
        return "user_" + make_base32(n, 27, B62)

    def err(self, status, code, message, param=None):
        return reply(status, {"errors": [{"message": message, "long_message": message, "code": code,
                                          "meta": {"param_name": param} if param else {}}],
                              "clerk_trace_id": "%032x" % now_us()})

    def too_many(self):
        return self.err(429, "too_many_requests", "Too many requests. Please try again in a bit.")

    def no_route(self, req):
        return self.err(404, "resource_not_found", "not found")

    no_method = no_route

    def guard(self, req, scope):
        have = TOKENS.get(req.bearer() or "")
        if have is None or self.set["revoked"]:
            raise Fail(self.err(401, "authentication_invalid", "Invalid authentication"))
        if scope == "write" and have != "write":
            raise Fail(self.err(403, "authorization_invalid", "You are not authorized to perform this request"))

    # -- a user as JSON: e-mail and whether it is verified are joined by id

    def native(self, u):
        first, _, last = (u.name or "").partition(" ")
        mails, main = [], None
        for n, (mail, ok) in enumerate(u.get("other_emails", []) + ([[u.email, u.verified]] if u.email else [])):
            main = "idn_" + make_base32(u.seq * 16 + n, 27, B62)
            mails.append({"id": main, "object": "email_address", "email_address": mail, "reserved": False,
                          "verification": {"status": "verified" if ok else "unverified", "strategy": "admin"},
                          "linked_to": []})
        if not u.email:
            main = None
        phones = [{"id": "idn_p" + u.id[5:], "object": "phone_number", "phone_number": u.phone,
                   "verification": {"status": "verified"}}] if u.phone else []
        return {"id": u.id, "object": "user", "username": u.username, "first_name": u.get("first_name", first or None),
                "last_name": u.get("last_name", last or None), "image_url": u.picture or "https://img.example.test/d",
                "has_image": u.picture is not None, "primary_email_address_id": main,
                "primary_phone_number_id": phones[0]["id"] if phones else None, "email_addresses": mails,
                "phone_numbers": phones, "external_accounts": [], "password_enabled": True,
                "public_metadata": u.app or {}, "private_metadata": u.get("private_metadata", {}),
                "unsafe_metadata": u.meta or {}, "external_id": u.get("external_id"), "banned": bool(u.blocked),
                "locked": bool(u.get("locked", False)), "deprovisioned": bool(u.get("deprovisioned", False)),
                "last_sign_in_at": None if u.last is None else u.last // 1000,
                "last_active_at": None if u.last is None else u.last // 1000,
                "created_at": u.created // 1000, "updated_at": u.updated // 1000}

    # -- lists

    def list(self, req):
        limit, off = number(req.arg("limit", "10"), 1), number(req.arg("offset", "0"))
        if limit is None or limit > 500:
            raise Fail(self.err(422, "form_param_value_invalid", "limit must be between 1 and 500", "limit"))
        if off is None:
            raise Fail(self.err(422, "form_param_value_invalid", "offset must not be negative", "offset"))
        if self.set["deep_offset"] is not None and off > self.set["deep_offset"]:
            raise Fail(self.err(504, "timeout", "The request timed out"))
        order = req.arg("order_by", "-created_at")
        desc, field = order.startswith("-"), order.lstrip("+-")
        if field not in ORDERS:
            raise Fail(self.err(422, "form_param_value_invalid", "order_by is not supported", "order_by"))
        rows = self.filtered(req, [r[2] for r in self.store.view(field, ORDERS[field])] if field != "created_at"
                             else self.store.order)
        after = req.arg("starting_after")
        if after is None:
            return reply(200, [self.render(u) for u in window(rows, off, limit, desc)])
        if field != "created_at":
            raise Fail(self.err(422, "form_param_value_invalid", "starting_after needs order_by created_at",
                                "starting_after"))
        u = self.store.by_id.get(after)
        if u is None:
            raise Fail(self.err(404, "resource_not_found", "not found", "starting_after"))
        i = bisect.bisect_left(rows, u)
        if desc:
            return reply(200, [self.render(o) for o in rows[max(0, i - limit):i][::-1]])
        i = bisect.bisect_right(rows, u)
        return reply(200, [self.render(o) for o in rows[i:i + limit]])

    def filtered(self, req, rows):
        ids, mails = req.args("user_id", "user_id[]"), req.args("email_address", "email_address[]")
        if len(ids) > 100 or len(mails) > 100:
            raise Fail(self.err(422, "form_param_value_too_large", "at most 100 values", "user_id"))
        if ids:
            rows = [u for u in rows if u.id in ids]
        if mails:
            low = {m.lower() for m in mails}
            hits = {id(u) for m in low for u in self.store.with_email(m)}
            rows = [u for u in rows if id(u) in hits]
        for key, attr in (("created_at", "created"), ("last_active_at", "last"), ("last_sign_in_at", "last")):
            for way in ("after", "before"):
                ms = number(req.arg(key + "_" + way))
                if ms is not None:
                    rows = [u for u in rows if getattr(u, attr) is not None
                            and (getattr(u, attr) // 1000 > ms) == (way == "after")]
        if req.arg("banned") in ("true", "false"):
            rows = [u for u in rows if bool(u.blocked) == (req.arg("banned") == "true")]
        if req.arg("query"):
            q = req.arg("query").lower()
            rows = [u for u in rows if q in str(u.email or "").lower() or q in str(u.name or "").lower() or q == u.id]
        return rows

    def count(self, req):
        return reply(200, {"object": "total_count", "total_count": len(self.filtered(req, self.store.order))})

    # -- one user

    def find(self, uid):
        u = self.store.by_id.get(uid)
        if u is None:
            raise Fail(self.err(404, "resource_not_found", "not found"))
        return u

    def get(self, req, uid):
        return reply(200, self.render(self.find(uid)))

    def params(self, req):
        p = body_object(req, self.err(400, "request_body_invalid", "Request body is invalid"))
        for k in META:
            if not isinstance(p.get(k), (dict, type(None))):
                raise Fail(self.err(422, "form_param_format_invalid", k + " must be an object", k))
        for k in ("email_address", "phone_number"):
            if not isinstance(p.get(k), (list, type(None))):
                raise Fail(self.err(422, "form_param_format_invalid", k + " must be an array", k))
        for k in ("username", "first_name", "last_name", "external_id"):
            if not isinstance(p.get(k), (str, type(None))):
                raise Fail(self.err(422, "form_param_format_invalid", k + " must be a string", k))
        for m in p.get("email_address") or []:
            if not isinstance(m, str) or "@" not in m:
                raise Fail(self.err(422, "form_param_format_invalid", "email_address must be a valid email address",
                                    "email_address"))
        return p

    @staticmethod
    def assign(u, p):
        u.raw = None
        if ("first_name" in p or "last_name" in p) and u.name:
            first, _, last = u.name.partition(" ")
            u.put(first_name=first, last_name=last)
            u.name = None
        for k in ("first_name", "last_name", "external_id", "private_metadata"):
            if k in p:
                u.put(**{k: p[k]})
        for k, attr in (("username", "username"), ("public_metadata", "app"), ("unsafe_metadata", "meta")):
            if k in p:
                setattr(u, attr, p[k])

    def create(self, req):
        p = self.params(req)
        mails, phones = p.get("email_address") or [], p.get("phone_number") or []
        if not mails and not phones and not p.get("username"):
            raise Fail(self.err(422, "form_data_missing", "email_address is required", "email_address"))
        if any(self.store.with_email(m) for m in mails):
            raise Fail(self.err(422, "form_identifier_exists", "That email address is taken. Please try another.",
                                "email_address"))
        if p.get("password") is not None and len(str(p["password"])) < 8:
            raise Fail(self.err(422, "form_password_length_too_short", "Passwords must be 8 characters or more.",
                                "password"))
        u = self.store.new(None, mails[0].lower() if mails else None)
        u.phone, u.verified = phones[0] if phones else None, True
        if len(mails) > 1:
            u.put(other_emails=[[m, True] for m in mails[1:]])
        self.assign(u, p)
        self.store.add(u, self.note(req))
        return reply(200, self.render(u))

    def update(self, req, uid):
        u, p = self.find(uid), self.params(req)
        if (self.set["new_version"] or req.header("clerk-api-version") >= "2026-05-12") and any(k in p for k in META):
            raise Fail(self.err(422, "form_param_unknown", "metadata is changed with PATCH /users/{id}/metadata",
                                next(k for k in META if k in p)))
        name = p.get("username")
        if name and any(o is not u and o.username == name for o in self.store.order):
            raise Fail(self.err(422, "form_identifier_exists", "That username is taken. Please try another.",
                                "username"))
        self.store.change(u, lambda u: self.assign(u, p), self.note(req))
        return reply(200, self.render(u))

    def metadata(self, req, uid):
        """A deep merge; null takes a key away, at any depth."""
        u, p = self.find(uid), self.params(req)

        def how(u):
            u.raw = None
            have = {"public_metadata": u.app, "private_metadata": u.get("private_metadata"), "unsafe_metadata": u.meta}
            self.assign(u, {k: deep(have[k] or {}, p[k]) for k in META if p.get(k) is not None})
        self.store.change(u, how, self.note(req))
        return reply(200, self.render(u))

    def delete(self, req, uid):
        self.store.remove(self.find(uid), self.note(req))
        return reply(200, {"id": uid, "object": "user", "slug": None, "deleted": True})

    def switch(self, req, uid, verb):
        u = self.find(uid)

        def how(u):
            u.raw = None
            if verb.endswith("ban"):
                u.blocked = verb == "ban"
            else:
                u.put(locked=True if verb == "lock" else None)
        self.store.change(u, how, self.note(req))
        return reply(200, self.render(u))


def deep(old, new):
    out = dict(old)
    for k, v in new.items():
        if v is None:
            out.pop(k, None)
        elif isinstance(v, dict):
            out[k] = deep(out[k] if isinstance(out.get(k), dict) else {}, v)
        else:
            out[k] = v
    return out
