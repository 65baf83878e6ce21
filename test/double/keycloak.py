"""Keycloak: the token endpoint and the admin REST API. All realms but "missing" exist and share their users.

Settings beyond the common ones: token_ttl (expires_in, 300), hide_every (every n-th user is dropped from a page after
it was cut: short pages), locked_ids (locked by brute force: enabled is false in the single GET only), created_filter
(false: an older server, which ignores createdAfter), admin_events, admin_events_details, user_events (all off, as
there), error_text ("error", or "description": the other family), duplicate_emails, put_flags_only (a PUT without any
field of the profile leaves the profile alone; otherwise what is left out is cleared).
"""
import base64
import bisect
import re
from urllib.parse import unquote

from common import Fail, Provider, body_object, dumps, empty, number, reply
from store import make_uuid, parse_time

CLIENTS = {"authsync": {"view-users", "query-users", "manage-users", "view-events"},
           "authsync-view": {"view-users", "query-users"}, "authsync-query": {"query-users"}, "authsync-none": set()}
R = r"/admin/realms/([^/]+)"
OPS = {"create": "CREATE", "update": "UPDATE", "delete": "DELETE"}
PROFILE = ("email", "firstName", "lastName", "attributes")


class Keycloak(Provider):
    name = "keycloak"
    ttl = 300
    created_key = "createdTimestamp"
    defaults = {"hide_every": 0, "locked_ids": [], "created_filter": True, "admin_events": False,
                "admin_events_details": False, "user_events": False, "error_text": "error", "duplicate_emails": False,
                "put_flags_only": False}
    routes = (
        ("POST", r"/realms/([^/]+)/protocol/openid-connect/token", "token", "open"),
        ("GET", R + r"/users", "list", "query-users"),
        ("GET", R + r"/users/count", "count", "query-users"),
        ("POST", R + r"/users", "create", "manage-users"),
        ("GET", R + r"/users/([^/]+)", "get", "view-users"),
        ("PUT", R + r"/users/([^/]+)", "update", "manage-users"),
        ("DELETE", R + r"/users/([^/]+)", "delete", "manage-users"),
        ("PUT", R + r"/users/([^/]+)/reset-password", "password", "manage-users"),
        ("GET", R + r"/admin-events", "admin_feed", "view-events"),
        ("GET", R + r"/events", "events", "view-events"),
        ("GET", R + r"/events/config", "config", "view-events"),
    )

    # -- errors: two families

    def err(self, status, error, text=None):
        body = {"error": error}
        if text:
            body["error_description"] = text
        return reply(status, body)

    def message(self, status, text, **more):
        return reply(status, dict({"errorMessage": text}, **more))

    def too_many(self):
        return self.err(429, "HTTP 429 Too Many Requests")

    def no_route(self, req):
        return self.err(404, "HTTP 404 Not Found")

    def no_method(self, req):
        return self.err(405, "HTTP 405 Method Not Allowed")

    def lost(self):
        if self.set["error_text"] == "description":
            return self.err(404, "invalid_request", "User not found")
        return self.err(404, "User not found")

    # -- who asks

    def token(self, req, realm):
        if realm == "missing":
            raise Fail(self.err(404, "Realm does not exist"))
        if not req.header("content-type").startswith("application/x-www-form-urlencoded"):
            raise Fail(self.err(415, "HTTP 415 Unsupported Media Type"))
        p = req.form()
        client, secret = p.get("client_id"), p.get("client_secret")
        m = re.fullmatch(r"Basic ([A-Za-z0-9+/=]+)", req.header("authorization"), re.I)
        if m:
            try:
                text = base64.b64decode(m.group(1)).decode()
            except ValueError:
                text = ":"
            client, secret = (unquote(x) for x in text.partition(":")[::2])
        if not p.get("grant_type"):
            raise Fail(self.err(400, "invalid_request", "Missing form parameter: grant_type"))
        if client not in CLIENTS:
            raise Fail(self.err(401, "invalid_client", "Invalid client or Invalid client credentials"))
        if secret != "s3cret":
            raise Fail(self.err(401, "unauthorized_client", "Invalid client or Invalid client credentials"))
        if p["grant_type"] != "client_credentials":
            raise Fail(self.err(400, "unsupported_grant_type", "Unsupported grant_type"))
        token, ttl = self.issue(CLIENTS[client], claims={"iss": "%s/keycloak/realms/%s" % (req.host, realm),
                                                         "azp": client, "typ": "Bearer"})
        scopes = self.tokens[token]
        self.tokens[token] = (scopes[0], scopes[1] | {"realm:" + realm})
        return reply(200, {"access_token": token, "expires_in": int(ttl), "refresh_expires_in": 0,
                           "token_type": "Bearer", "not-before-policy": 0, "scope": "email profile"},
                     [("Cache-Control", "no-store")])

    def guard(self, req, scope):
        realm = unquote(req.rest.split("/")[3])
        have = self.scopes_of(req.bearer() or "")
        if have in (None, "expired"):
            raise Fail(self.err(401, "HTTP 401 Unauthorized"))
        if realm == "missing":
            raise Fail(self.err(404, "Realm not found."))
        if "realm:" + realm not in have:
            raise Fail(self.err(403, "HTTP 403 Forbidden"))
        if scope not in have:
            raise Fail(self.err(403, "HTTP 403 Forbidden"))
        req.client = have

    # -- a user as JSON

    @staticmethod
    def username(u):
        return str(u.username or u.email or u.id).lower()

    def native(self, u, brief=False):
        first, _, last = (u.name or "").partition(" ")
        out = {"id": u.id, "username": self.username(u)}
        for k, v in (("firstName", u.get("firstName", first or None)), ("lastName", u.get("lastName", last or None)),
                     ("email", u.email)):
            if v is not None:
                out[k] = v
        out.update(emailVerified=bool(u.verified), enabled=not u.blocked, createdTimestamp=u.created // 1000)
        if brief:
            return out
        attrs = dict({k: [v] for k, v in (("picture", u.picture), ("nickname", u.nickname), ("phoneNumber", u.phone))
                      if v}, **{k: v if isinstance(v, list) else [str(v)] for k, v in (u.meta or {}).items()})
        if attrs:
            out["attributes"] = attrs
        out.update(totp=False, disableableCredentialTypes=[], requiredActions=u.get("requiredActions", []), notBefore=0)
        for k in ("federationLink", "serviceAccountClientId"):
            if u.get(k):
                out[k] = u.get(k)
        out["access"] = {"manage": True}
        return out

    # -- lists

    def rows(self, req):
        """Those that match, by user name. Without a field filter there are no service accounts."""
        if not self.fields(req):
            return self.store.view("person", lambda u: (bool(self.service(u)), self.username(u)))
        exact = req.arg("exact") == "true"
        rows = [r[2] for r in self.store.view("username", self.username)]
        if exact and req.arg("email"):                 # asked often: not through all of them
            rows = sorted(self.store.with_email(req.arg("email")), key=self.username)
        for name, value in self.fields(req):
            rows = [u for u in rows if self.hit(u, name, value, exact)]
        return [(None, u.seq, u) for u in rows]

    def fields(self, req):
        names = ["username", "email", "firstName", "lastName", "enabled", "emailVerified", "q", "search",
                 "idpAlias", "idpUserId"]
        if self.set["created_filter"]:
            names += ["createdAfter", "createdBefore"]
        return [(k, v) for k, v in req.pairs if k in names and v]

    @staticmethod
    def service(u):
        return u.get("serviceAccountClientId")

    def hit(self, u, name, value, exact):
        if name == "search":
            return not self.service(u) and self.searched(u, value)
        if name in ("createdAfter", "createdBefore"):
            edge = parse_time(int(value) if value.isdigit() else value)
            if edge is None:
                raise Fail(self.err(400, "Invalid value for '%s'" % name))
            if name == "createdBefore" and not value.isdigit():
                edge += 86399999999
            return u.created // 1000 >= edge // 1000 if name == "createdAfter" else u.created // 1000 <= edge // 1000
        obj = self.native(u)
        if name == "q":
            attrs = obj.get("attributes", {})
            return all(v.strip('"') in attrs.get(k.strip('"'), ()) for k, _, v in
                       (part.partition(":") for part in re.findall(r'(?:"[^"]*"|[^\s"])+', value)))
        if name in ("enabled", "emailVerified"):
            return obj[name] == (value == "true")
        if name.startswith("idp"):
            return False
        have, value = str(obj.get(name, "")).lower(), value.lower()
        return have == value if exact else value in have

    def searched(self, u, text):
        if text.startswith("id:"):
            return u.id in text[3:].split()
        obj = self.native(u)
        have = [str(obj.get(k, "")).lower() for k in ("username", "email", "firstName", "lastName")]
        for word in text.lower().split():
            if word.startswith('"') and word.endswith('"'):
                ok = word[1:-1] in have
            elif "*" in word:
                rx = re.compile(".*".join(re.escape(p) for p in word.split("*")))
                ok = any(rx.fullmatch(h) for h in have)
            else:
                ok = any(h.startswith(word) for h in have)
            if not ok:
                return False
        return True

    def people(self, req):
        rows = self.rows(req)
        if self.fields(req):
            return rows, len(rows)
        return rows, bisect.bisect_left(rows, ((True, ""),))

    def list(self, req, realm):
        first, most = number(req.arg("first", "0")), number(req.arg("max", "100"))
        if first is None or most is None:
            raise Fail(self.err(404, "HTTP 404 Not Found"))
        rows, n = self.people(req)
        found = [r[2] for r in rows[first:min(first + most, n)]]
        if "view-users" not in req.client:             # passes, and then sees nobody
            found = []
        every = self.set["hide_every"]
        if every:
            found = [u for u in found if u.seq % every]
        brief = req.arg("briefRepresentation") == "true"
        return reply(200, [self.render(u) if u.raw is not None else self.native(u, brief) for u in found])

    def count(self, req, realm):
        return reply(200, self.people(req)[1])

    # -- one user

    def find(self, uid):
        u = self.store.by_id.get(uid)
        if u is None:
            raise Fail(self.lost())
        return u

    def get(self, req, realm, uid):
        u = self.find(uid)
        out = self.render(u)
        if isinstance(out, dict) and u.raw is None:
            out["federatedIdentities"] = u.get("federatedIdentities", [])
            if uid in self.set["locked_ids"]:
                out["enabled"] = False
        return reply(200, out)

    def params(self, req):
        if not req.header("content-type").startswith("application/json"):
            raise Fail(self.err(415, "HTTP 415 Unsupported Media Type"))
        p = body_object(req, self.err(400, "unable to read contents from stream"))
        for k in ("username", "email", "firstName", "lastName"):
            if not isinstance(p.get(k), (str, type(None))):
                raise Fail(self.err(400, "unknown_error", "Cannot parse the JSON"))
        if p.get("email") and "@" not in p["email"]:
            raise Fail(self.message(400, "error-invalid-email", field="email", params=["email", p["email"]]))
        attrs = p.get("attributes")
        if attrs is not None and (not isinstance(attrs, dict) or any(not isinstance(v, list) for v in attrs.values())):
            raise Fail(self.err(400, "unknown_error", "Cannot parse the JSON"))
        return p

    def taken(self, name, email, but=None):
        rows = self.store.view("username", self.username)
        i = bisect.bisect_left(rows, (name.lower(),))
        same = [r[2] for r in rows[i:i + 2] if r[0] == name.lower() and r[2] is not but]
        mail = email and [o for o in self.store.with_email(email) if o is not but] and not self.set["duplicate_emails"]
        if same and mail:
            raise Fail(self.message(409, "User exists with same username or email"))
        if same:
            raise Fail(self.message(409, "User exists with same username"))
        if mail:
            raise Fail(self.message(409, "User exists with same email"))

    @staticmethod
    def assign(u, p):
        """The profile is replaced as a set, the rest only where it is given."""
        u.raw = None
        u.email = p["email"].lower() if p.get("email") else None
        u.name = None
        u.put(firstName=p.get("firstName"), lastName=p.get("lastName"))
        u.meta, u.picture, u.nickname, u.phone = dict(p.get("attributes") or {}), None, None, None
        if p.get("username"):
            u.username = p["username"].lower()
        if isinstance(p.get("enabled"), bool):
            u.blocked = not p["enabled"]
        if isinstance(p.get("emailVerified"), bool):
            u.verified = p["emailVerified"]
        if "requiredActions" in p:
            u.put(requiredActions=p["requiredActions"] or None)

    def create(self, req, realm):
        p = self.params(req)
        name = p.get("username")
        if not name:
            raise Fail(self.message(400, "User name is missing"))
        self.taken(name, p.get("email"))
        u = self.store.new()
        u.blocked = True                               # unless it says enabled
        self.assign(u, p)
        self.store.add(u, self.note(req, given=p))
        return empty(201, [("Location", "%s%s/%s" % (req.host, req.path, u.id))])

    def update(self, req, realm, uid):
        u, p = self.find(uid), self.params(req)
        if self.set["put_flags_only"] and not any(k in p for k in PROFILE + ("username",)):
            p = dict({k: self.native(u).get(k) for k in PROFILE}, **p)
        self.taken(p.get("username") or self.username(u), p.get("email"), u)
        if not u.username:
            name = self.username(u)
            p.setdefault("username", name)
        self.store.change(u, lambda u: self.assign(u, p), self.note(req, given=p))
        return empty(204)

    def password(self, req, realm, uid):
        self.find(uid)
        self.params(req)
        return empty(204)

    def delete(self, req, realm, uid):
        self.store.remove(self.find(uid), self.note(req, given=None))
        return empty(204)

    # -- what tells of changes: two feeds, both off unless set otherwise

    def config(self, req, realm):
        return reply(200, {"eventsEnabled": self.set["user_events"], "adminEventsEnabled": self.set["admin_events"],
                           "adminEventsDetailsEnabled": self.set["admin_events_details"]})

    def feed(self, req, rows):
        lo, hi = (req.arg(k) for k in ("dateFrom", "dateTo"))
        lo = parse_time(int(lo) if lo and lo.isdigit() else lo)
        day = bool(hi) and not hi.isdigit()
        hi = parse_time(int(hi) if hi and hi.isdigit() else hi)
        rows = [r for r in rows if (lo is None or r["time"] >= lo // 1000)
                and (hi is None or r["time"] <= hi // 1000 + (86399999 if day else 0))]
        if req.arg("direction") != "asc":
            rows.reverse()
        first = number(req.arg("first", "0")) or 0
        return reply(200, rows[first:first + (number(req.arg("max", "100")) or 100)])

    def admin_feed(self, req, realm):
        rows, ops, kinds = [], req.args("operationTypes"), req.args("resourceTypes")
        for c in self.store.changes if self.set["admin_events"] else ():
            if c["via"] != "api" or (ops and OPS[c["op"]] not in ops) or (kinds and "USER" not in kinds):
                continue
            e = {"id": make_uuid(c["n"]), "time": c["t"] // 1000, "realmId": realm, "operationType": OPS[c["op"]],
                 "resourceType": "USER", "resourcePath": "users/" + c["id"], "authDetails": {
                     "realmId": realm, "clientId": "authsync", "userId": make_uuid(1), "ipAddress": "203.0.113.1"}}
            if self.set["admin_events_details"] and c["given"] is not None:
                given = {k: v for k, v in c["given"].items() if k != "credentials"}
                e["representation"] = dumps(given).decode("utf-8", "replace")
            rows.append(e)
        return self.feed(req, rows)

    def events(self, req, realm):
        kinds = {"create": "REGISTER", "update": "UPDATE_PROFILE", "delete": "DELETE_ACCOUNT"}
        want, rows = req.args("type"), []
        for c in self.store.changes if self.set["user_events"] else ():
            if c["via"] == "control" and (not want or kinds[c["op"]] in want):
                rows.append({"id": make_uuid(c["n"]), "time": c["t"] // 1000, "type": kinds[c["op"]], "realmId": realm,
                             "clientId": "account", "userId": c["id"], "ipAddress": "203.0.113.1", "details": {}})
        return self.feed(req, rows)
