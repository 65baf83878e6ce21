"""AWS Cognito user pools: one URL, the operation in X-Amz-Target.

Settings beyond the common ones: short_pages (a page may hold fewer than Limit and still carry a token), verify_sigv4
(the signature itself is checked, with the secret s3cret), type_prefix (error types as "com.amazonaws...#Name"),
type_header (the type in x-amzn-ErrorType instead of the body), token_life_s (a PaginationToken expires).
"""
import bisect
import calendar
import hashlib
import hmac
import json
import re
import time
from urllib.parse import quote

from common import Fail, Provider, Response, b64url, dumps, unb64


AUTH = re.compile(r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/([\w-]+)/aws4_request, ?"
                  r"SignedHeaders=([\w;-]+), ?Signature=([0-9a-f]{64})")
FILTER = re.compile(r'\s*([\w:]+)\s*(\^?=)\s*"((?:[^"\\]|\\.)*)"\s*')
FIELDS = {"username", "email", "phone_number", "name", "given_name", "family_name", "preferred_username",
          "cognito:user_status", "status", "sub"}
AMZ = "application/x-amz-json-1.1"
ATTRS = {"email": "email", "phone_number": "phone", "name": "name", "nickname": "nickname", "picture": "picture",
         "preferred_username": "username"}


class Cognito(Provider):
    name = "cognito"
    id_key = "Username"
    created_key = "UserCreateDate"
    rate_header = "none"
    defaults = {"short_pages": True, "verify_sigv4": False, "type_prefix": False, "type_header": False,
                "token_life_s": 3600}
    routes = (("POST", r"/", "call", "all"),)
    calls = {"ListUsers": "list", "AdminGetUser": "get", "AdminCreateUser": "create", "AdminDeleteUser": "delete",
             "AdminUpdateUserAttributes": "update", "AdminDeleteUserAttributes": "clear", "AdminEnableUser": "enable",
             "AdminDisableUser": "disable", "DescribeUserPool": "pool"}

    def err(self, kind, message, status=400):
        body, headers = {"message": message}, []
        if self.set["type_header"]:
            headers.append(("x-amzn-ErrorType", kind + ":"))
        else:
            body["__type"] = ("com.amazonaws.cognito.identity.idp.model#" if self.set["type_prefix"] else "") + kind
        return Response(status, dumps(body), headers, AMZ)

    def ok(self, obj):
        return Response(200, dumps(obj), (), AMZ)

    def too_many(self):
        return self.err("TooManyRequestsException", "Rate exceeded")

    # -- who asks

    def guard(self, req, scope):
        auth = req.header("authorization")
        if not auth:
            raise Fail(self.err("MissingAuthenticationTokenException", "Missing Authentication Token"))
        m = AUTH.fullmatch(auth)
        if not m:
            raise Fail(self.err("IncompleteSignatureException", "Authorization header is not well formed"))
        key, day, region, service, names, signature = m.groups()
        names = names.split(";")
        if service != "cognito-idp" or "host" not in names or "x-amz-date" not in names:
            raise Fail(self.err("InvalidSignatureException", "Credential should be scoped to correct service"))
        when = req.header("x-amz-date")
        if not re.fullmatch(r"\d{8}T\d{6}Z", when) or when[:8] != day:
            raise Fail(self.err("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'"))
        if abs(calendar.timegm(time.strptime(when, "%Y%m%dT%H%M%SZ")) - self.now()) > 300:
            raise Fail(self.err("InvalidSignatureException", "Signature expired: " + when + " is now earlier or later "
                                "than five minutes from the time of the server"))
        if key not in ("AKIDTEST", "AKIDDENIED") or self.set["revoked"]:
            raise Fail(self.err("UnrecognizedClientException", "The security token included in the request is invalid."))
        if self.set["verify_sigv4"] and not hmac.compare_digest(signature, self.sign(req, day, region, names)):
            raise Fail(self.err("InvalidSignatureException", "The request signature we calculated does not match the "
                                "signature you provided."))
        if key == "AKIDDENIED":
            raise Fail(self.err("AccessDeniedException", "User is not authorized to perform this operation"))

    @staticmethod
    def sign(req, day, region, names):
        path = quote(req.path, safe="/-_.~%") or "/"
        query = "&".join(sorted("%s=%s" % (quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in req.pairs))
        heads = "".join("%s:%s\n" % (n, " ".join(req.header(n).split())) for n in names)
        text = "\n".join([req.method, path, query, heads, ";".join(names), hashlib.sha256(req.body).hexdigest()])
        scope = "%s/%s/cognito-idp/aws4_request" % (day, region)
        text = "\n".join(["AWS4-HMAC-SHA256", req.header("x-amz-date"), scope, hashlib.sha256(text.encode()).hexdigest()])
        key = b"AWS4s3cret"
        for part in (day, region, "cognito-idp", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def call(self, req):
        service, _, name = req.header("x-amz-target").partition(".")
        if service != "AWSCognitoIdentityProviderService" or name not in self.calls:
            raise Fail(self.err("UnknownOperationException", "Unknown operation"))
        try:
            p = json.loads(req.body)
            if not isinstance(p, dict):
                raise ValueError
        except ValueError:
            raise Fail(self.err("SerializationException", "The body is not valid JSON")) from None
        if not isinstance(p.get("UserPoolId"), str):
            raise Fail(self.err("InvalidParameterException", "1 validation error detected: Value null at 'userPoolId' "
                                "failed to satisfy constraint: Member must not be null"))
        if "_" not in p["UserPoolId"] or "missing" in p["UserPoolId"]:
            raise Fail(self.err("ResourceNotFoundException", "User pool %s does not exist." % p["UserPoolId"]))
        return self.ok(getattr(self, self.calls[name])(p, req))

    # -- a user as JSON: all attributes are text, times are seconds with a fraction

    def native(self, u, key="Attributes"):
        attrs = [("sub", u.id)]
        if u.email is not None:
            attrs += [("email", u.email), ("email_verified", "true" if u.verified else "false")]
        attrs += [(k, getattr(u, a)) for k, a in ATTRS.items() if k != "email" and getattr(u, a) is not None]
        attrs += [("custom:" + k if ":" not in k else k, v if isinstance(v, str) else json.dumps(v))
                  for k, v in (u.meta or {}).items()]
        return {"Username": u.get("login", u.id), key: [{"Name": k, "Value": v} for k, v in attrs],
                "UserCreateDate": u.created // 1000 / 1000, "UserLastModifiedDate": u.updated // 1000 / 1000,
                "Enabled": not u.blocked, "UserStatus": u.get("status", "CONFIRMED")}

    # -- lists

    def list(self, p, req):
        limit = p.get("Limit", 60)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= 60:
            raise Fail(self.err("InvalidParameterException", "1 validation error detected: Value at 'limit' failed to "
                                "satisfy constraint: Member must have value less than or equal to 60"))
        limit = limit or 60
        shape = hashlib.sha256(repr((p["UserPoolId"], p.get("Filter"), p.get("AttributesToGet"))).encode()).hexdigest()
        rows, after = self.store.view("id", lambda u: u.id), None
        if p.get("PaginationToken") is not None:
            try:
                after, made, same = json.loads(unb64(p["PaginationToken"]))
                if same != shape or time.time() - made > self.set["token_life_s"]:
                    raise ValueError
            except (ValueError, TypeError):
                raise Fail(self.err("InvalidParameterException", "Invalid pagination token given")) from None
        test = self.condition(p.get("Filter"))
        i = 0 if after is None else self.place(rows, after)
        room = limit
        if self.set["short_pages"] and limit > 2 and i % 3 != 1:
            room = limit - 1 - i % 2                   # the real one stops short now and then, with a token
        out = []
        while i < len(rows) and len(out) < room:
            u = rows[i][2]
            if test is None or test(u):
                out.append(self.chosen(self.render(u), p.get("AttributesToGet")))
            i += 1
        answer = {"Users": out}
        if i < len(rows):
            answer["PaginationToken"] = b64url(json.dumps([rows[i - 1][0], time.time(), shape]).encode())
        return answer

    @staticmethod
    def place(rows, after):
        return bisect.bisect_right(rows, (after, float("inf")))

    def chosen(self, obj, names):
        if not names or not isinstance(obj, dict):
            return obj
        have = {a["Name"] for a in obj.get("Attributes", ())}
        for n in names:
            if n not in have:
                raise Fail(self.err("InvalidParameterException", "One or more requested attributes do not exist."))
        return dict(obj, Attributes=[a for a in obj["Attributes"] if a["Name"] in names])

    def condition(self, text):
        if not text:
            return None
        m = FILTER.fullmatch(text)
        if not m or m.group(1) not in FIELDS:
            raise Fail(self.err("InvalidParameterException", "Error while parsing filter: " + text[:100]))
        name, prefix, want = m.group(1), m.group(2) == "^=", re.sub(r"\\(.)", r"\1", m.group(3))

        def test(u):
            have = {"username": u.get("login", u.id), "sub": u.id, "status": "Disabled" if u.blocked else "Enabled",
                    "cognito:user_status": u.get("status", "CONFIRMED")}.get(name)
            if name in ATTRS:
                have = getattr(u, ATTRS[name])
            elif have is None:
                have = (u.meta or {}).get(name)
            have = have if isinstance(have, str) else ""
            return have.startswith(want) if prefix else have == want
        return test

    def pool(self, p, req):
        return {"UserPool": {"Id": p["UserPoolId"], "EstimatedNumberOfUsers": len(self.store)}}

    # -- one user

    def find(self, p):
        name = p.get("Username")
        u = self.store.by_id.get(name)
        if u is None and isinstance(name, str):
            u = next((o for o in self.store.with_email(name)), None)
            u = u or next((o for o in self.store.order if o.get("login") == name), None)
        if u is None:
            raise Fail(self.err("UserNotFoundException", "User does not exist."))
        return u

    def get(self, p, req):
        u = self.find(p)
        return u.raw if u.raw is not None else self.native(u, "UserAttributes")

    def assign(self, u, attrs):
        u.raw = None
        for a in attrs or ():
            name, value = a.get("Name"), a.get("Value")
            if name in ATTRS:
                setattr(u, ATTRS[name], value.lower() if name == "email" and value else value)
            elif name == "email_verified":
                u.verified = value == "true"
            elif name not in ("sub", "phone_number_verified"):
                name = name[len("custom:"):] if name.startswith("custom:") else name
                u.meta = dict(u.meta or {}, **{name: value})

    def attributes(self, p):
        attrs = p.get("UserAttributes") or []
        for a in attrs:
            if not isinstance(a, dict) or not isinstance(a.get("Name"), str) or not isinstance(a.get("Value"), str):
                raise Fail(self.err("InvalidParameterException", "Attributes must be pairs of text"))
        return attrs

    def create(self, p, req):
        name, attrs = p.get("Username"), self.attributes(p)
        if not isinstance(name, str) or not name:
            raise Fail(self.err("InvalidParameterException", "Username should not be empty"))
        mail = next((a["Value"] for a in attrs if a["Name"] == "email"), name if "@" in name else None)
        if name in self.store.by_id or (mail and self.store.with_email(mail)) or any(
                o.get("login") == name for o in self.store.order):
            raise Fail(self.err("UsernameExistsException", "User account already exists"))
        u = self.store.new(None, mail and mail.lower())
        self.assign(u, attrs)
        u.put(status="FORCE_CHANGE_PASSWORD", login=None if "@" in name else name)
        self.store.add(u, self.note(req))
        return {"User": self.render(u)}

    def alter(self, p, req, how):
        self.store.change(self.find(p), how, self.note(req))
        return {}

    def update(self, p, req):
        attrs = self.attributes(p)
        return self.alter(p, req, lambda u: self.assign(u, attrs))

    def clear(self, p, req):
        def how(u):
            u.raw = None
            for name in p.get("UserAttributeNames") or ():
                if name in ATTRS:
                    setattr(u, ATTRS[name], None)
                else:
                    name = name[len("custom:"):] if name.startswith("custom:") else name
                    u.meta = {k: v for k, v in (u.meta or {}).items() if k != name}
        return self.alter(p, req, how)

    def enable(self, p, req):
        return self.alter(p, req, lambda u: (setattr(u, "blocked", False), setattr(u, "raw", None)))

    def disable(self, p, req):
        return self.alter(p, req, lambda u: (setattr(u, "blocked", True), setattr(u, "raw", None)))

    def delete(self, p, req):
        self.store.remove(self.find(p), self.note(req))
        return {}
