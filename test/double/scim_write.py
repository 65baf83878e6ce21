"""SCIM: one user read, made, replaced, patched, deleted. Lists and discovery: scim.py."""
import bisect
import re

from common import Fail, body_object, empty, reply
from filters import Syntax, parse

SCIM = "application/scim+json"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
PLAIN = ("schemas", "id", "meta", "userName", "externalId", "name", "displayName", "nickName", "active", "emails",
         "photos", "phoneNumbers", "password")
PATH = re.compile(r"(?:(urn:[^\s\[\]]+):)?([\w$-]+)(?:\[(.+)\])?(?:\.([\w$-]+))?")


class Writes:
    def find(self, uid):
        u = self.store.by_id.get(uid)
        if u is None:
            raise Fail(self.err(404, "Resource %s not found" % uid))
        return u

    def get(self, req, uid):
        u = self.find(uid)
        return reply(200, self.shape(u, dict(req.pairs)), self.tag(u), SCIM)

    def tag(self, u):
        return [("ETag", 'W/"%x"' % u.updated)] if self.set["etag"] else []

    def fresh(self, req, u):
        want = req.header("if-match")
        if self.set["etag"] and want and want != "*" and want != 'W/"%x"' % u.updated:
            raise Fail(self.err(412, "The resource has changed"))

    def params(self, req):
        return body_object(req, self.err(400, "The body is not valid JSON", "invalidSyntax"))

    @staticmethod
    def first_email(p):
        mails = [m for m in p.get("emails") or () if isinstance(m, dict) and isinstance(m.get("value"), str)]
        for pick in (lambda m: m.get("primary") is True, lambda m: m.get("type") == "work", lambda m: True):
            for m in mails:
                if pick(m):
                    return m["value"]
        return None

    def check(self, p, but=None):
        p = {self.spelt(k): v for k, v in p.items()}
        name = p.get("userName")
        if not isinstance(name, str) or not name:
            raise Fail(self.err(400, "Attribute userName is required", "invalidValue"))
        if not isinstance(p.get("emails"), (list, type(None))):
            raise Fail(self.err(400, "emails must be a list", "invalidValue"))
        if isinstance(p.get("active"), str):
            p["active"] = p["active"].lower() == "true"
        rows = self.by_name()
        i = bisect.bisect_left(rows, (name.lower(),))
        if any(r[0] == name.lower() and r[2] is not but for r in rows[i:i + 2]):
            raise Fail(self.err(409, "userName %s is in use" % name, "uniqueness"))
        return p

    def by_name(self):
        def name(u):
            have = u.raw.get("userName") if isinstance(u.raw, dict) else u.username or u.email or u.id
            return str(have).lower()
        return self.store.view("username", name)

    @staticmethod
    def spelt(key):
        return next((k for k in PLAIN if k.lower() == key.lower()), key)

    def assign(self, u, p):
        """Everything is replaced; what is absent is cleared."""
        u.raw = u.name = None
        u.username, u.nickname = p["userName"], p.get("nickName")
        u.email = self.first_email(p) or (p["userName"] if "@" in p["userName"] else None)
        u.blocked = p.get("active") is False
        u.phone = next((m.get("value") for m in p.get("phoneNumbers") or () if isinstance(m, dict)), None)
        u.picture = None
        u.put(externalId=p.get("externalId"), name_parts=p.get("name"), displayName=p.get("displayName"),
              emails=p.get("emails") if p.get("emails") is not None else [], photos=p.get("photos"))
        u.meta = {k: v for k, v in p.items() if k not in PLAIN and v is not None}

    def create(self, req):
        p = self.check(self.params(req))
        u = self.store.new()
        self.assign(u, p)
        self.store.add(u, self.note(req))
        headers = self.tag(u)
        if self.set["location"]:
            headers.append(("Location", "%s/scim/v2/Users/%s" % (req.host, u.id)))
        return reply(201, self.render(u), headers, SCIM)

    def replace(self, req, uid):
        u = self.find(uid)
        self.fresh(req, u)
        p = self.check(self.params(req), u)
        self.store.change(u, lambda u: self.assign(u, p), self.note(req))
        return reply(200, self.render(u), self.tag(u), SCIM)

    def delete(self, req, uid):
        u = self.find(uid)
        self.fresh(req, u)
        self.store.remove(u, self.note(req))
        return empty(204)

    # -- PATCH: the operations are played on the rendered object, which is then taken as a replacement

    def patch(self, req, uid):
        u = self.find(uid)
        self.fresh(req, u)
        p = self.params(req)
        ops = next((v for k, v in p.items() if k.lower() == "operations"), None)
        if PATCH not in (p.get("schemas") or ()) or not isinstance(ops, list) or not ops:
            raise Fail(self.err(400, "Not a PatchOp with Operations", "invalidSyntax"))
        obj = self.render(u)
        obj = {k: v for k, v in obj.items() if k not in ("meta", "schemas")} if isinstance(obj, dict) else {}
        for op in ops:
            if not isinstance(op, dict):
                raise Fail(self.err(400, "An operation must be an object", "invalidSyntax"))
            self.operate(obj, str(op.get("op", "")).lower(), op.get("path"), op.get("value"))
        if obj.get("id") != u.id:
            raise Fail(self.err(400, "id cannot be changed", "mutability"))
        obj = self.check(obj, u)
        self.store.change(u, lambda u: self.assign(u, obj), self.note(req))
        if self.set["patch_204"]:
            return empty(204, self.tag(u))
        return reply(200, self.render(u), self.tag(u), SCIM)

    def operate(self, obj, op, path, value):
        if op not in ("add", "replace", "remove"):
            raise Fail(self.err(400, "op must be add, replace or remove", "invalidSyntax"))
        if path is None:
            if op == "remove":
                raise Fail(self.err(400, "remove needs a path", "noTarget"))
            if not isinstance(value, dict):
                raise Fail(self.err(400, "value must be an object", "invalidValue"))
            for k, v in value.items():
                self.operate(obj, op, k, v)
            return
        m = PATH.fullmatch(str(path))
        if not m:
            raise Fail(self.err(400, "Invalid path", "invalidPath"))
        urn, key, inner, sub = m.groups()
        if urn and not urn.endswith(":core:2.0:User"):
            obj = obj.setdefault(urn, {})
        key = self.spelt(key)
        if inner:
            self.elements(obj, op, key, inner, sub, value)
        elif sub:
            part = dict(obj.get(key) or {}) if isinstance(obj.get(key), (dict, type(None))) else {}
            self.put(part, op, sub, value)
            obj[key] = part
        else:
            self.put(obj, op, key, value)

    @staticmethod
    def put(obj, op, key, value):
        if op == "remove" or value is None:
            obj.pop(key, None)
        elif op == "add" and isinstance(obj.get(key), list):
            more = value if isinstance(value, list) else [value]
            obj[key] = obj[key] + [v for v in more if v not in obj[key]]
        elif isinstance(value, dict) and isinstance(obj.get(key), dict):
            obj[key] = dict(obj[key], **value)
        else:
            obj[key] = value

    def elements(self, obj, op, key, inner, sub, value):
        try:
            test = parse(inner)
        except Syntax as e:
            raise Fail(self.err(400, str(e), "invalidPath")) from None
        rows = [dict(e) for e in obj.get(key) or () if isinstance(e, dict)]
        hit = [e for e in rows if test(e)]
        if not hit and op == "replace":
            raise Fail(self.err(400, "No element matches the path", "noTarget"))
        if op == "remove" and not sub:
            rows = [e for e in rows if not test(e)]
        for e in hit:
            if sub:
                self.put(e, op, sub, value)
            elif isinstance(value, dict):
                e.update(value)
        obj[key] = rows
