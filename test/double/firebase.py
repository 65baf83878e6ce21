"""Firebase / Google Identity Platform: /v1/projects/{p}/accounts..., also with the host of the service in the path
and with /tenants/{t}; /token is the JWT-bearer grant, which takes any well-formed assertion.

Settings beyond the common ones: omit_empty (an empty page has no "users"), quota_status (429 or 400 when the rate is
exceeded).
"""
import bisect
import json

from common import Fail, Provider, body_object, jwt_payload, number, reply
from store import make_base32

B62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LISTS = ("localIds", "deleteAttribute", "deleteProvider")
TEXTS = ("localId", "email", "password", "displayName", "photoUrl", "phoneNumber", "customAttributes")
GOOD = ("cloud-platform", "identitytoolkit", "firebase")


class Firebase(Provider):
    name = "firebase"
    id_key = "localId"
    created_key = "createdAt"
    rate_header = "none"
    defaults = {"omit_empty": True, "quota_status": 429}
    P = r"(?:/identitytoolkit\.googleapis\.com)?/v1/projects/[^/]+(?:/tenants/[^/]+)?"
    routes = (
        ("POST", r"/token", "grant", "open"),
        ("GET", P + r"/accounts:batchGet", "list", "all"),
        ("POST", P + r"/accounts", "create", "all"),
        ("POST", P + r"/accounts:lookup", "lookup", "all"),
        ("POST", P + r"/accounts:update", "update", "all"),
        ("POST", P + r"/accounts:delete", "delete", "all"),
        ("POST", P + r"/accounts:batchDelete", "delete_many", "all"),
        ("POST", P + r"/accounts:query", "query", "all"),
    )

    @staticmethod
    def make_id(n):
        return make_base32(n, 28, B62)

    def err(self, status, message, name=None):
        body = {"code": status, "message": message,
                "errors": [{"message": message, "domain": "global", "reason": "invalid"}]}
        if name:
            body["status"] = name
        return reply(status, {"error": body})

    def too_many(self):
        if self.set["quota_status"] == 400:
            return self.err(400, "QUOTA_EXCEEDED : Exceeded quota for reading accounts.")
        return self.err(429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED")

    def no_route(self, req):
        return self.err(404, "Not Found", "NOT_FOUND")

    no_method = no_route

    def grant(self, req):
        p = req.form()
        if p.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            raise Fail(reply(400, {"error": "unsupported_grant_type",
                                   "error_description": "Invalid grant_type: %s" % p.get("grant_type")}))
        claims = jwt_payload(p.get("assertion", ""))
        if claims is None:
            raise Fail(reply(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}))
        scopes = str(claims.get("scope", "cloud-platform")).split()
        token, ttl = self.issue(scopes, prefix="ya29.")
        return reply(200, {"access_token": token, "expires_in": int(ttl), "token_type": "Bearer"})

    def guard(self, req, scope):
        token = req.bearer()
        scopes = self.scopes_of(token)
        if token == "owner" and not self.set["revoked"]:
            return
        if scopes in (None, "expired"):
            raise Fail(self.err(401, "Request had invalid authentication credentials. Expected OAuth 2 access token, "
                                "login cookie or other valid authentication credential.", "UNAUTHENTICATED"))
        if not any(s.rpartition("/")[2] in GOOD for s in scopes):
            raise Fail(self.err(403, "Request had insufficient authentication scopes.", "PERMISSION_DENIED"))

    # -- a user as JSON: numbers as text, false is absent

    def native(self, u):
        out = {"localId": u.id}
        for key, v in (("email", u.email), ("displayName", u.name), ("photoUrl", u.picture), ("phoneNumber", u.phone)):
            if v is not None:
                out[key] = v
        if u.verified:
            out["emailVerified"] = True
        if u.blocked:
            out["disabled"] = True
        attributes = u.app if u.app is not None else u.meta
        if attributes is not None:
            out["customAttributes"] = attributes if isinstance(attributes, str) else json.dumps(attributes)
        if u.email:
            out["providerUserInfo"] = [{"providerId": "password", "federatedId": u.email, "email": u.email,
                                        "rawId": u.email}]
            out.update(passwordHash="ZG91YmxlLWhhc2g=", salt="ZG91YmxlLXNhbHQ=", passwordUpdatedAt=u.created / 1000)
        out.update(validSince=str(u.created // 1000000), createdAt=str(u.created // 1000))
        if u.last is not None:
            out["lastLoginAt"] = str(u.last // 1000)
        return out

    # -- lists: a full page always has a token, so the page after the last full one is empty

    def list(self, req):
        size = number(req.arg("maxResults", "20"), 1)
        if size is None or size > 1000:
            raise Fail(self.err(400, "INVALID_PAGE_SELECTION"))
        rows, token = self.store.view("id", lambda u: u.id), req.arg("nextPageToken")
        i = bisect.bisect_right(rows, (token, float("inf"))) if token else 0
        found = rows[i:i + size]
        out = {"kind": "identitytoolkit#DownloadAccountResponse"}
        if found or not self.set["omit_empty"]:
            out["users"] = [self.render(r[2]) for r in found]
        if len(found) == size:
            out["nextPageToken"] = found[-1][0]
        return reply(200, out)

    def query(self, req):
        p = self.params(req)
        rows = self.store.view("id", lambda u: u.id)
        if p.get("returnUserInfo") is False:
            return reply(200, {"recordsCount": str(len(rows))})
        off, n = int(p.get("offset") or 0), min(int(p.get("limit") or 500), 500)
        found = [self.render(r[2]) for r in rows[off:off + n]]
        return reply(200, {"recordsCount": str(len(found)), "userInfo": found})

    # -- one user

    def params(self, req):
        wrong = self.err(400, "Invalid JSON payload received.", "INVALID_ARGUMENT")
        p = body_object(req, wrong)
        many = req.rest.endswith(":lookup")            # where one is named, lookup has a list
        for k in LISTS + (("localId", "email", "phoneNumber") if many else ()):
            if p.get(k) is not None and (not isinstance(p[k], list) or any(not isinstance(v, str) for v in p[k])):
                raise Fail(wrong)
        for k in () if many else TEXTS:
            if not isinstance(p.get(k), (str, type(None))):
                raise Fail(wrong)
        for k in ("offset", "limit"):
            if p.get(k) is not None and number(str(p[k])) is None:
                raise Fail(wrong)
        return p

    def lookup(self, req):
        p, found = self.params(req), {}
        for uid in p.get("localId") or ():
            if uid in self.store.by_id:
                found[uid] = self.store.by_id[uid]
        for mail in p.get("email") or ():
            for u in self.store.with_email(mail):
                found[u.id] = u
        for phone in p.get("phoneNumber") or ():
            found.update((u.id, u) for u in self.store.order if u.phone == phone)
        out = {"kind": "identitytoolkit#GetAccountInfoResponse"}
        if found:
            out["users"] = [self.render(u) for u in found.values()]
        return reply(200, out)

    def check(self, p, but=None):
        email = p.get("email")
        if email is not None and (not isinstance(email, str) or "@" not in email):
            raise Fail(self.err(400, "INVALID_EMAIL"))
        if email and any(o is not but for o in self.store.with_email(email)):
            raise Fail(self.err(400, "EMAIL_EXISTS"))
        if p.get("password") is not None and len(str(p["password"])) < 6:
            raise Fail(self.err(400, "WEAK_PASSWORD : Password should be at least 6 characters"))
        phone = p.get("phoneNumber")
        if phone:
            if not str(phone).startswith("+"):
                raise Fail(self.err(400, "INVALID_PHONE_NUMBER : Invalid format."))
            if any(o is not but and o.phone == phone for o in self.store.order):
                raise Fail(self.err(400, "PHONE_NUMBER_EXISTS"))
        if p.get("customAttributes") is not None:
            try:
                if not isinstance(json.loads(p["customAttributes"]), dict):
                    raise ValueError
            except (ValueError, TypeError):
                raise Fail(self.err(400, "INVALID_CLAIMS")) from None
            if len(p["customAttributes"]) > 1000:
                raise Fail(self.err(400, "CLAIMS_TOO_LARGE"))

    @staticmethod
    def assign(u, p):
        u.raw = None
        for key, attr in (("displayName", "name"), ("photoUrl", "picture"), ("phoneNumber", "phone"),
                          ("customAttributes", "app")):
            if p.get(key) is not None:
                setattr(u, attr, p[key])
        if p.get("email"):
            u.email = p["email"].lower()
        if isinstance(p.get("emailVerified"), bool):
            u.verified = p["emailVerified"]
        for key in ("disableUser", "disabled"):
            if isinstance(p.get(key), bool):
                u.blocked = p[key]
        for what in p.get("deleteAttribute") or ():
            attr = {"DISPLAY_NAME": "name", "PHOTO_URL": "picture", "EMAIL": "email"}.get(what)
            if attr:
                setattr(u, attr, None)
        if "phone" in (p.get("deleteProvider") or ()):
            u.phone = None

    def create(self, req):
        p = self.params(req)
        if p.get("localId") in self.store.by_id:
            raise Fail(self.err(400, "DUPLICATE_LOCAL_ID"))
        self.check(p)
        u = self.store.new(p.get("localId"))
        self.assign(u, p)
        self.store.add(u, self.note(req))
        out = {"kind": "identitytoolkit#SignupNewUserResponse", "localId": u.id}
        if u.email:
            out["email"] = u.email
        return reply(200, out)

    def find(self, p):
        if not isinstance(p.get("localId"), str) or not p["localId"]:
            raise Fail(self.err(400, "MISSING_LOCAL_ID"))
        u = self.store.by_id.get(p["localId"])
        if u is None:
            raise Fail(self.err(400, "USER_NOT_FOUND"))
        return u

    def update(self, req):
        p = self.params(req)
        u = self.find(p)
        self.check(p, u)
        self.store.change(u, lambda u: self.assign(u, p), self.note(req))
        return reply(200, {"kind": "identitytoolkit#SetAccountInfoResponse", "localId": u.id, "email": u.email or ""})

    def delete(self, req):
        self.store.remove(self.find(self.params(req)), self.note(req))
        return reply(200, {"kind": "identitytoolkit#DeleteAccountResponse"})

    def delete_many(self, req):
        p, errors = self.params(req), []
        for i, uid in enumerate(p.get("localIds") or ()):
            u = self.store.by_id.get(uid)
            if u is not None and not u.blocked and not p.get("force"):
                errors.append({"index": i, "localId": uid, "message": "NOT_DISABLED : Disable the account first."})
            elif u is not None:
                self.store.remove(u, self.note(req))
        return reply(200, {"errors": errors} if errors else {})
