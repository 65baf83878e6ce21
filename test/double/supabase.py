"""Supabase Auth (GoTrue), the admin API: /admin/... directly or below /auth/v1.

Settings beyond the common ones: gateway (an apikey is needed), cursor (cursor mode), shuffle_ties (the order among
equal created_at changes with every request), race (a duplicate e-mail is a 500/23505, as for two at once),
create_error and delete_error (a leaked PostgreSQL error as an object, as of a trigger or foreign key of the user),
tz_offset ("+02:00" instead of Z), nanos (nine digits in what was just written).
"""
import hashlib
import hmac
import json
import random
import re
import time
import uuid
from urllib.parse import urlencode

from common import Fail, Provider, b64url, hs256, jwt_payload, number, reply, unb64, window
from store import iso, make_uuid, now_us, scramble
from supabase_write import NIL, Writes

SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
ROLE = {"iss": "supabase-demo", "iat": 1767225600, "exp": 4102444800}
SERVICE_JWT = hs256(dict(ROLE, role="service_role"), SECRET)
ANON_JWT = hs256(dict(ROLE, role="anon"), SECRET)
SECRET_KEY = "sb_secret_test"
LEAKS = ("P0001", "23000", "23001", "23502", "23503", "23505", "23514", "23P01")


class Supabase(Writes, Provider):
    name = "supabase"
    defaults = {"gateway": False, "cursor": False, "shuffle_ties": False, "race": False, "create_error": None,
                "delete_error": None, "tz_offset": None, "nanos": True}
    rate_header = "none"
    P = r"(?:/auth/v1)?"
    routes = (
        ("GET", P + r"/admin/users", "list", "admin"),
        ("POST", P + r"/admin/users", "create", "admin"),
        ("GET", P + r"/admin/users/([^/]+)", "get", "admin"),
        ("PUT", P + r"/admin/users/([^/]+)", "update", "admin"),
        ("DELETE", P + r"/admin/users/([^/]+)", "delete", "admin"),
        ("GET", P + r"/admin/users/([^/]+)/factors", "factors", "admin"),
        ("GET", P + r"/admin/audit", "audit", "admin"),
        ("GET", P + r"/health", "health", "open"),
        ("GET", P + r"/settings", "settings", "open"),
    )

    # -- errors

    def err(self, req, status, code, msg, **more):
        headers = [("x-sb-error-code", code)]
        if self.modern(req):
            return reply(status, dict({"code": code, "message": msg}, **more),
                         headers + [("X-Supabase-Api-Version", "2024-01-01")])
        if status >= 500:
            more["error_id"] = str(uuid.UUID(int=random.getrandbits(128)))
        return reply(status, dict({"code": status, "error_code": code, "msg": msg}, **more), headers)

    @staticmethod
    def modern(req):
        v = req.header("x-supabase-api-version")
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", v)) and v >= "2024-01-01"

    def pg_error(self, req, msg, error):
        """A PostgreSQL error that got through to the client, which it does in the old format only."""
        code = error.get("code", "P0001")
        if self.modern(req) or (code not in LEAKS and not code.startswith("PT")):
            return self.err(req, 500, "unexpected_failure", msg)
        status = int(code[2:]) if code.startswith("PT") else 500
        return reply(status, {k: error[k] for k in ("code", "message", "hint", "detail") if error.get(k)})

    def too_many(self):
        return reply(429, {"code": 429, "error_code": "over_request_rate_limit",
                           "msg": "Request rate limit reached"}, [("x-sb-error-code", "over_request_rate_limit")])

    # -- who asks

    def guard(self, req, scope):
        key, auth = req.header("apikey"), req.header("authorization")
        if key.startswith("sb_secret_"):
            if "mozilla/" in req.header("user-agent").lower():
                raise Fail(reply(401, {"message": "Forbidden use of secret API key in browser"}))
            if key != SECRET_KEY or self.set["revoked"]:
                raise Fail(reply(401, {"message": "Invalid API key"}))
            if not auth or req.bearer() == key:
                return
        elif self.set["gateway"]:
            if not key:
                raise Fail(reply(401, {"message": "No API key found in request"}))
            if key not in (SERVICE_JWT, ANON_JWT) or self.set["revoked"]:
                raise Fail(reply(401, {"message": "Invalid authentication credentials"}))
        token = req.bearer()
        if token is None:
            raise Fail(self.err(req, 401, "no_authorization", "This endpoint requires a valid Bearer token"))
        bad = "invalid JWT: unable to parse or verify signature, "
        claims = jwt_payload(token)
        if claims is None:
            raise Fail(self.err(req, 403, "bad_jwt", bad + "token is malformed"))
        head, _, sign = token.rpartition(".")
        want = hmac.new(SECRET.encode(), head.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(unb64(sign), want) or self.set["revoked"]:
            raise Fail(self.err(req, 403, "bad_jwt", bad + "token signature is invalid: signature is invalid"))
        if "exp" in claims and claims["exp"] <= time.time():
            raise Fail(self.err(req, 403, "bad_jwt", bad + "token has invalid claims: token is expired"))
        if claims.get("role") not in ("service_role", "supabase_admin"):
            raise Fail(self.err(req, 403, "not_admin", "User not allowed"))

    # -- a user as JSON

    def ts(self, us):
        text = iso(us, 6)[:-1].rstrip("0").rstrip(".")
        off = self.set["tz_offset"]
        if not off:
            return text + "Z"
        m = int(off[1:3]) * 60 + int(off[-2:])
        return iso(us + (-m if off[0] == "-" else m) * 60000000, 6)[:-1].rstrip("0").rstrip(".") + off

    @staticmethod
    def metas(u):
        meta = {} if u.meta is None else u.meta
        if u.name or u.picture or u.nickname:
            own = {"full_name": u.name, "avatar_url": u.picture, "user_name": u.nickname}
            meta = dict({k: v for k, v in own.items() if v}, **meta)
        app = u.app
        if app is None or ("provider" not in app and not u.get("app_set") and u.deleted is None):
            have = [k for k, v in (("email", u.email), ("phone", u.phone)) if v] or ["email"]
            app = dict({"provider": have[0], "providers": have}, **(app or {}))
        return meta, app

    def native(self, u, full=False, fresh=False):
        meta, app = self.metas(u)
        out = {"id": u.id, "aud": u.get("aud", "authenticated"), "role": u.get("role", "authenticated"),
               "email": u.email or ""}
        confirmed = u.get("email_confirmed_at", u.created if u.verified and u.email else None)
        if confirmed is not None:
            out["email_confirmed_at"] = self.ts(confirmed)
            if fresh and self.set["nanos"]:
                out["email_confirmed_at"] = iso(confirmed, 6)[:-1] + "%03dZ" % (scramble(u.seq) % 999 + 1)
        out["phone"] = u.phone or ""
        by_phone = u.get("phone_confirmed_at")
        if by_phone is not None:
            out["phone_confirmed_at"] = self.ts(by_phone)
        either = [t for t in (confirmed, by_phone) if t is not None]
        if either and not fresh:
            out["confirmed_at"] = self.ts(min(either))
        for key in ("new_email", "new_phone", "invited_at", "confirmation_sent_at"):
            if u.get(key):
                out[key] = u.get(key)
        if u.last is not None:
            out["last_sign_in_at"] = self.ts(u.last)
        out.update(app_metadata=app, user_metadata=meta, identities=self.identities(u) if full else None)
        if full:
            out["factors"] = u.get("factors", [])
            if not out["factors"]:
                del out["factors"]
        out.update(created_at=self.ts(u.created), updated_at=self.ts(u.updated))
        until = u.get("banned_until")
        if until is None and u.blocked:
            until = now_us() + 876000 * 3600 * 1000000
        if until is not None:
            out["banned_until"] = self.ts(until)
        if u.deleted is not None:
            out["deleted_at"] = self.ts(u.deleted)
        out["is_anonymous"] = bool(u.get("is_anonymous", False))
        return out

    def identities(self, u):
        out, t = [], self.ts(u.created)
        for kind, value in (("email", u.email), ("phone", u.phone)):
            if not value:
                continue
            data = {} if u.deleted is not None else {kind: value, "email_verified": bool(u.get("id_verified", False)),
                                                     "phone_verified": False, "sub": u.id}
            one = {"identity_id": make_uuid(u.seq * 2 + (kind == "phone")), "id": u.id, "user_id": u.id,
                   "identity_data": data, "provider": kind, "last_sign_in_at": t, "created_at": t, "updated_at": t}
            if kind == "email" and u.deleted is None:
                one["email"] = value
            out.append(one)
        return out

    def one(self, u, fresh=False):
        return u.raw if u.raw is not None else self.native(u, full=True, fresh=fresh)

    # -- lists

    def counts(self, req):
        out = []
        for name, default in (("page", 1), ("per_page", 50)):
            text = req.arg(name)
            n = default if text in (None, "") else number(text)
            if n is None:
                raise Fail(self.err(req, 400, "validation_failed", "Bad Pagination Parameters: strconv.ParseUint: "
                                    "parsing %s: invalid syntax" % json.dumps(text)))
            out.append(n)
        if out[1] == 0:
            raise Fail(self.err(req, 500, "unexpected_failure", "Internal Server Error"))
        return out

    def links(self, req, page, size, total):
        """Relative, and without the prefix that the gateway took away; page=0 says next=1."""
        path = re.sub(r"^/auth/v1", "", req.rest)
        last = -(-total // size)
        rest = [(k, v) for k, v in req.pairs if k not in ("page", "per_page")]

        def link(n, rel):
            pairs = sorted(rest + [("page", n)] + ([("per_page", size)] if req.arg("per_page") else []))
            return '<%s?%s>; rel="%s"' % (path, urlencode(pairs), rel)
        out = [link(page + 1, "next")] if page < last else []
        return [("X-Total-Count", total), ("Link", ", ".join(out + [link(last, "last")]))]

    def sort(self, req):
        m = re.fullmatch(r"created_at(?: (asc|desc))?", req.arg("sort") or "created_at", re.I)
        if not m:
            raise Fail(self.err(req, 400, "validation_failed", "Bad Sort Parameters: bad field for sort"))
        return (m.group(1) or "desc").lower() == "desc"

    def list(self, req):
        if self.set["cursor"] and req.arg("page") is None and req.arg("per_page") is None:
            return self.by_cursor(req)
        page, size = self.counts(req)
        desc = self.sort(req)
        rows = self.filtered(req)
        off = max(page - 1, 0) * size
        found = self.shuffled(rows, off, size, desc) if self.set["shuffle_ties"] else window(rows, off, size, desc)
        body = {"users": [self.render(u) for u in found], "aud": req.header("x-jwt-aud") or "authenticated"}
        return reply(200, body, self.links(req, page, size, len(rows)))

    def filtered(self, req):
        rows, text, aud = self.store.order, req.arg("filter"), req.header("x-jwt-aud")
        if aud and aud != "authenticated":
            rows = [u for u in rows if u.get("aud") == aud]
        if not text:
            return rows
        parts, i = [], 0
        while i < len(text):
            c = text[i]
            if c == "\\" and i + 1 < len(text):
                i += 1
                parts.append(re.escape(text[i]))
            else:
                parts.append(".*" if c == "%" else "." if c == "_" else re.escape(c))
            i += 1
        email, name = re.compile("".join(parts), re.S), re.compile("".join(parts), re.S | re.I)

        def hit(u):
            if u.email and email.search(u.email):
                return True
            full = (u.meta or {}).get("full_name", u.name) if isinstance(u.meta or {}, dict) else None
            return isinstance(full, str) and bool(name.search(full))
        return [u for u in rows if hit(u)]

    @staticmethod
    def shuffled(rows, off, size, desc):
        """The page, with each run of equal created_at that it touches in an order of its own."""
        n = len(rows)
        lo, hi = (max(0, n - off - size), max(0, n - off)) if desc else (min(off, n), min(off + size, n))
        if lo >= hi:
            return []
        a, b = lo, hi
        while a > 0 and rows[a - 1].created == rows[lo].created:
            a -= 1
        while b < n and rows[b].created == rows[hi - 1].created:
            b += 1
        part = sorted(rows[a:b], key=lambda u: (u.created, random.random()))
        part = part[lo - a:hi - a]
        return part[::-1] if desc else part

    def by_cursor(self, req):
        limit = number(req.arg("limit", "50"), 1)
        if limit is None:
            raise Fail(self.err(req, 400, "validation_failed", "Bad Pagination Parameters: invalid limit"))
        limit, desc = min(limit, 1000), self.sort(req)
        rows = sorted(self.filtered(req), key=lambda u: (u.created, u.id), reverse=desc)
        if req.arg("cursor"):
            try:
                at = json.loads(unb64(req.arg("cursor")))
                edge = (int(at["created_us"]), at["id"])
            except (ValueError, KeyError, TypeError):
                raise Fail(self.err(req, 400, "validation_failed", "Bad Pagination Parameters: invalid cursor")) from None
            rows = [u for u in rows if ((u.created, u.id) < edge if desc else (u.created, u.id) > edge)]
        found, more = rows[:limit], len(rows) > limit
        paging, headers = {"has_more": more}, []
        if more:
            last = found[-1]
            paging["next_cursor"] = b64url(json.dumps({"created_at": self.ts(last.created), "id": last.id,
                                                       "created_us": last.created}).encode())
            headers = [("Link", '</admin/users?cursor=%s&limit=%d>; rel="next"' % (paging["next_cursor"], limit))]
        return reply(200, {"users": [self.render(u) for u in found], "aud": "authenticated", "pagination": paging},
                     headers)

    def audit(self, req):
        page, size = self.counts(req)
        rows = [self.entry(c) for c in reversed(self.store.changes)]
        if req.arg("query"):
            scope, colon, text = req.arg("query").partition(":")
            keys = {"author": ("actor_username", "actor_name"), "action": ("action",), "type": ("log_type",)}.get(scope)
            if not colon or not keys:
                raise Fail(self.err(req, 400, "validation_failed", "Invalid query scope: " + scope))
            rows = [r for r in rows if any(text.lower() in str(r["payload"].get(k, "")).lower() for k in keys)]
        off = max(page - 1, 0) * size
        return reply(200, rows[off:off + size], self.links(req, page, size, len(rows)))

    def entry(self, c):
        action = {"create": "user_signedup", "update": "user_modified", "delete": "user_deleted"}[c["op"]]
        return {"id": make_uuid(c["n"]), "created_at": self.ts(c["t"]), "ip_address": "", "payload": {
            "action": action, "actor_id": NIL, "actor_username": "service_role", "actor_via_sso": False,
            "log_type": "team", "traits": {"user_email": c["email"] or "", "user_id": c["id"], "user_phone": ""}}}

    def health(self, req):
        return reply(200, {"version": "v2.196.0", "name": "GoTrue",
                           "description": "GoTrue is a user registration and authentication API"})

    def settings(self, req):
        return reply(200, {"external": {"email": True, "phone": True, "google": False}, "disable_signup": False,
                           "mailer_autoconfirm": True, "phone_autoconfirm": False, "saml_enabled": False})
