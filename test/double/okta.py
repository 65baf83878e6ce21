"""Okta, the Users API: /api/v1/users and the System Log /api/v1/logs.

Settings beyond the common ones: if_match (an If-Match header that does not fit answers 412).
"""
import bisect
import re
from urllib.parse import quote

from common import Fail, Provider, b64url, body_object, empty, number, reply, unb64
from filters import Syntax, look_up, parse, single_range
from store import iso, make_base32, now_us, parse_time

B62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TOKENS = {"okta-test-token": "write", "okta-read-token": "read"}
PROFILE = ("login", "email", "firstName", "lastName", "displayName", "nickName", "mobilePhone", "profileUrl")
EVENT = {"create": "user.lifecycle.create", "update": "user.account.update_profile",
         "delete": "user.lifecycle.delete.completed"}


class Okta(Provider):
    name = "okta"
    limit_headers = "X-Rate-Limit-"
    reset_header = "X-Rate-Limit-Reset"
    rate_header = "reset"
    created_key = "created"
    defaults = {"if_match": False}
    routes = (
        ("POST", r"/oauth2/v1/token", "token", "open"),
        ("GET", r"/api/v1/users", "list", "read"),
        ("POST", r"/api/v1/users", "create", "write"),
        ("GET", r"/api/v1/logs", "logs", "read"),
        ("GET", r"/api/v1/users/([^/]+)", "get", "read"),
        ("POST", r"/api/v1/users/([^/]+)", "update", "write"),
        ("PUT", r"/api/v1/users/([^/]+)", "replace", "write"),
        ("DELETE", r"/api/v1/users/([^/]+)", "delete", "write"),
        ("POST", r"/api/v1/users/([^/]+)/lifecycle/([a-z]+)", "lifecycle", "write"),
    )

    @staticmethod
    def make_id(n):
        return "00u" + make_base32(n, 17, B62)

    def err(self, status, code, summary, *causes):
        return reply(status, {"errorCode": code, "errorSummary": summary, "errorLink": code,
                              "errorId": "oae" + make_base32(now_us(), 17, B62),
                              "errorCauses": [{"errorSummary": c} for c in causes]})

    def too_many(self):
        return self.err(429, "E0000047", "API call exceeded rate limit due to too many requests.")

    def no_route(self, req):
        return self.err(404, "E0000022", "The endpoint does not support the provided HTTP method")

    def no_method(self, req):
        return self.err(405, "E0000022", "The endpoint does not support the provided HTTP method")

    def token(self, req):
        p = req.form()
        if p.get("grant_type") != "client_credentials" or p.get("client_assertion", "").count(".") != 2:
            raise Fail(reply(401, {"error": "invalid_client", "error_description": "The client_assertion is missing"}))
        scopes = p.get("scope", "").split()
        token, ttl = self.issue(scopes)
        return reply(200, {"token_type": "Bearer", "expires_in": int(ttl), "access_token": token,
                           "scope": " ".join(scopes)})

    def guard(self, req, scope):
        m = re.fullmatch(r"SSWS (\S+)", req.header("authorization"), re.I)
        have = TOKENS.get(m.group(1)) if m else None
        if req.bearer():
            scopes = self.scopes_of(req.bearer())
            if scopes not in (None, "expired"):
                have = "write" if "okta.users.manage" in scopes else "read"
        if have is None or self.set["revoked"]:
            raise Fail(self.err(401, "E0000011", "Invalid token provided"))
        if scope == "write" and have != "write":
            raise Fail(self.err(403, "E0000006", "You do not have permission to perform the requested action"))

    # -- a user as JSON

    @staticmethod
    def status(u):
        if u.deleted is not None:
            return "DEPROVISIONED"
        return u.get("status", "SUSPENDED" if u.blocked else "ACTIVE")

    def native(self, u):
        first, _, last = (u.name or "").partition(" ")
        profile = {"login": u.username or u.email, "email": u.email, "firstName": u.get("firstName", first or None),
                   "lastName": u.get("lastName", last or None), "displayName": u.get("displayName"),
                   "nickName": u.nickname, "mobilePhone": u.phone, "profileUrl": u.picture}
        profile.update(u.meta or {})
        return {"id": u.id, "status": self.status(u), "created": iso(u.created), "activated": iso(u.created),
                "statusChanged": iso(u.get("status_changed", u.created)),
                "lastLogin": None if u.last is None else iso(u.last), "lastUpdated": iso(u.updated),
                "passwordChanged": iso(u.created), "type": {"id": "oty1double"}, "profile": profile,
                "credentials": {"provider": {"type": "OKTA", "name": "OKTA"}},
                "_links": {"self": {"href": "https://double.okta.test/api/v1/users/" + u.id}}}

    # -- lists: two Link headers, an opaque cursor

    def list(self, req):
        limit = number(req.arg("limit", "200"), 1)
        if limit is None:
            raise Fail(self.err(400, "E0000001", "Api validation failed: limit", "limit: invalid value"))
        limit = min(limit, 200)
        if req.arg("q"):
            q = req.arg("q").lower()
            rows = [u for u in self.store.order if str(u.email or "").startswith(q) or str(u.name or "").lower().startswith(q)]
            return reply(200, [self.render(u) for u in rows[:min(limit, 10)]])
        rows, test = self.store.view("id", lambda u: u.id), None
        text = req.arg("filter") or req.arg("search")
        if text:
            test = self.condition(text, bool(req.arg("filter")))
            mail = single_range(test, "profile.email")
            if mail and mail[0] == "eq" and isinstance(mail[1], str):
                rows = sorted((u.id, u.seq, u) for u in self.store.with_email(mail[1]))
            span = single_range(test, "lastUpdated")
            if span and span[0] in ("gt", "ge"):       # by bisection, then in the order of ids
                rows = self.since(test, span)
                test = None
        by = req.arg("sortBy") if req.arg("search") else None
        if by:
            rows = sorted(((str((look_up(self.render(r[2]), by) or [""])[0]), r[1], r[2]) for r in rows),
                          reverse=req.arg("sortOrder") == "desc")
        lo = self.cursor(req, rows, bool(by))
        out, at = [], lo
        while at < len(rows) and len(out) < limit:
            u = rows[at][2]
            if test(self.render(u)) if test else (text or u.raw is not None or self.status(u) != "DEPROVISIONED"):
                out.append(u)
            at += 1
        return reply(200, [self.render(u) for u in out], self.links(req, limit, out, at < len(rows)))

    def since(self, test, span):
        rows = self.store.view("updated", lambda u: u.updated)
        i = bisect.bisect_left(rows, (self.time(span[1]) // 1000 * 1000,))
        return sorted((r[2].id, r[1], r[2]) for r in rows[i:] if test(self.render(r[2])))

    def time(self, text):
        us = parse_time(text)
        if us is None:
            raise Fail(self.err(400, "E0000031", "Invalid search criteria."))
        return us

    def condition(self, text, simple):
        def check(path, op):
            p = path.lower()
            if simple and (p not in ("status", "lastupdated", "id", "profile.login", "profile.email",
                                     "profile.firstname", "profile.lastname")
                           or (op != "eq" and not (p == "lastupdated" and op in ("gt", "ge", "lt", "le")))):
                raise Syntax(path + " " + op)
        try:
            return parse(text, check)
        except Syntax as e:
            raise Fail(self.err(400, "E0000031", "Invalid search criteria.", str(e))) from None

    def cursor(self, req, rows, by_place):
        after = req.arg("after")
        if after is None:
            return 0
        try:
            last = unb64(after).decode()
        except ValueError:
            raise Fail(self.err(400, "E0000001", "Api validation failed: after", "after: invalid cursor")) from None
        if by_place:
            return int(last) if last.isdigit() else 0
        return bisect.bisect_right(rows, (last, float("inf")))

    def links(self, req, limit, out, more):
        base = req.host + req.path
        rest = "".join("&%s=%s" % (k, _quote(v)) for k, v in req.pairs if k not in ("after", "limit"))
        here = "<%s?%slimit=%d%s>; rel=\"self\"" % (
            base, "after=%s&" % req.arg("after") if req.arg("after") else "", limit, rest)
        links = [("Link", here)]
        if more and out:
            by_place = req.arg("search") and req.arg("sortBy")
            done = 0
            if by_place and req.arg("after"):
                done = int(unb64(req.arg("after")).decode())
            key = str(done + len(out)) if by_place else out[-1].id
            links.append(("Link", "<%s?after=%s&limit=%d%s>; rel=\"next\"" % (base, b64url(key.encode()), limit, rest)))
        return links

    def logs(self, req):
        limit = number(req.arg("limit", "100"), 1) or 100
        since = self.time(req.arg("since")) if req.arg("since") else 0
        after = number(req.arg("after", "0")) or 0
        test = self.condition(req.arg("filter"), False) if req.arg("filter") else None
        rows, last = [], after
        for c in self.store.changes:
            if c["n"] > after and c["t"] >= since and len(rows) < min(limit, 1000):
                e = {"uuid": "double-%d" % c["n"], "published": iso(c["t"]), "eventType": c.get("event", EVENT[c["op"]]),
                     "outcome": {"result": "SUCCESS"}, "actor": {"id": "00uadmin", "type": "User"},
                     "target": [{"id": c["id"], "type": "User", "alternateId": c["email"]}]}
                if test is None or test(e):
                    rows.append(e)
                last = c["n"]
        rest = "".join("&%s=%s" % (k, _quote(v)) for k, v in req.pairs if k not in ("after",))
        base = req.host + req.path
        links = [("Link", "<%s%s>; rel=\"self\"" % (base, "?" + req.query if req.query else ""))]
        if not req.arg("until"):                       # polling: there is always a next
            links.append(("Link", "<%s?after=%d%s>; rel=\"next\"" % (base, last, rest)))
        return reply(200, rows, links)

    # -- one user

    def find(self, uid):
        u = self.store.by_id.get(uid)
        if u is None:
            u = next((o for o in self.store.with_email(uid)), None)
        if u is None:
            raise Fail(self.err(404, "E0000007", "Not found: Resource not found: %s (User)" % uid))
        return u

    def get(self, req, uid):
        u = self.find(uid)
        return reply(200, self.render(u), [("ETag", 'W/"%d"' % u.updated)] if self.set["if_match"] else ())

    def profile(self, req, partial, u=None):
        p = body_object(req, self.err(400, "E0000003", "The request body was not well-formed."))
        prof = p.get("profile")
        if not isinstance(prof, dict):
            prof = {} if partial and prof is None else None
        wrong = "profile: required" if prof is None else None
        for k in ("login", "email", "firstName", "lastName"):
            if prof is None or wrong:
                break
            if not isinstance(prof.get(k), (str, type(None))):
                wrong = k + ": must be a string"
            elif not prof.get(k) and (k in prof or not partial) and k in ("login", "email"):
                wrong = k + ": The field cannot be left blank"
        if not wrong and prof.get("login"):
            others = [o for o in self.store.with_email(prof["login"]) if o is not u]
            others += [o for o in self.store.with_email(prof.get("email") or "") if o is not u and
                       (o.username or o.email) == prof["login"]]
            if others:
                wrong = "login: An object with this field already exists in the current organization"
        if wrong:
            raise Fail(self.err(400, "E0000001", "Api validation failed: " + wrong.split(":")[0], wrong))
        return prof

    @staticmethod
    def assign(u, prof, partial):
        u.raw = None
        known = {"email": "email", "login": "username", "nickName": "nickname", "mobilePhone": "phone",
                 "profileUrl": "picture"}
        for k, attr in known.items():
            if k in prof or not partial:
                setattr(u, attr, prof.get(k))
        first, _, last = (u.name or "").partition(" ")
        for k, old in (("firstName", first), ("lastName", last), ("displayName", None)):
            if k in prof or not partial:
                u.put(**{k: prof.get(k)})
            elif old and u.get(k) is None:
                u.put(**{k: old})
        u.name = None
        more = {k: v for k, v in prof.items() if k not in PROFILE}
        u.meta = dict(u.meta or {}, **more) if partial else more

    def create(self, req):
        prof = self.profile(req, False)
        u = self.store.new(None, prof["email"])
        self.assign(u, prof, False)
        if req.arg("activate") == "false":
            u.put(status="STAGED")
        self.store.add(u, self.note(req))
        return reply(200, self.render(u))

    def fresh(self, req, u):
        want = req.header("if-match")
        if self.set["if_match"] and want and want != 'W/"%d"' % u.updated:
            raise Fail(self.err(412, "E0000240", "Precondition failed: the resource has changed"))

    def update(self, req, uid, partial=True):
        u = self.find(uid)
        self.fresh(req, u)
        prof = self.profile(req, partial, u)
        self.store.change(u, lambda u: self.assign(u, prof, partial), self.note(req))
        return reply(200, self.render(u))

    def replace(self, req, uid):
        """PUT: what is left out becomes null."""
        return self.update(req, uid, partial=False)

    def delete(self, req, uid):
        """The first call deactivates, the second one deletes."""
        u = self.find(uid)
        if u.deleted is None:
            self.deactivate(req, u)
        else:
            self.store.remove(u, self.note(req))
        return empty(204)

    def deactivate(self, req, u):
        def how(u):
            u.deleted, u.raw = now_us(), None
            u.put(status_changed=now_us())
        self.store.change(u, how, self.note(req, event="user.lifecycle.deactivate"))

    def lifecycle(self, req, uid, verb):
        u = self.find(uid)
        now = self.status(u)
        wanted = {"suspend": ("ACTIVE",), "unsuspend": ("SUSPENDED",), "activate": ("STAGED", "DEPROVISIONED"),
                  "deactivate": ("ACTIVE", "SUSPENDED", "STAGED", "PROVISIONED")}
        if verb not in wanted:
            return self.no_route(req)
        if now not in wanted[verb]:
            raise Fail(self.err(403, "E0000001", "Api validation failed: status",
                                "Cannot %s a user who is %s" % (verb, now)))
        if verb == "deactivate":
            self.deactivate(req, u)
            return reply(200, {})

        def how(u):
            u.deleted, u.blocked, u.raw = None, verb == "suspend", None
            u.put(status=None, status_changed=now_us())
        self.store.change(u, how, self.note(req, event="user.lifecycle." + verb))
        return reply(200, {})


def _quote(v):
    return quote(v, safe="")
