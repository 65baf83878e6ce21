"""Supabase Auth: one user read, made, changed, deleted. Lists and errors: supabase.py."""
import bisect
import hashlib
import re

from common import Fail, b64url, body_object, reply
from store import now_us

UUID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
NIL = "00000000-0000-0000-0000-000000000000"
DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h)")
UNIT = {"ns": 0.001, "us": 1, "µs": 1, "ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9}
TEXTS = ("id", "email", "phone", "password", "password_hash", "ban_duration", "role", "aud")
HASH = re.compile(r"\$2[aby]\$\d\d\$.+|\$argon2id?\$v=19\$.+|\$fbscrypt\$v=1,.+")


def merged(old, new):
    """Shallow: a key given replaces, a key given as null goes, the others stay."""
    out = dict(old or {})
    for k, v in new.items():
        if v is None:
            out.pop(k, None)
        else:
            out[k] = v
    return out


class Writes:
    def find(self, req, uid):
        if not UUID.fullmatch(uid):
            raise Fail(self.err(req, 404, "validation_failed", "user_id must be an UUID"))
        u = self.store.by_id.get(uid) or self.store.by_id.get(uid.lower())
        if u is None:
            raise Fail(self.err(req, 404, "user_not_found", "User not found"))
        return u

    def get(self, req, uid):
        return reply(200, self.one(self.find(req, uid)))

    def factors(self, req, uid):
        return reply(200, self.find(req, uid).get("factors", []))

    # -- what a body may say

    def params(self, req):
        if len(req.body) > 1 << 20:
            raise Fail(self.err(req, 413, "request_entity_too_large", "Request body is too large"))
        bad = self.err(req, 400, "bad_json", "Could not read params: invalid JSON")
        p = body_object(req, bad)
        for k in TEXTS:
            if not isinstance(p.get(k), (str, type(None))):
                raise Fail(bad)
        for k in ("user_metadata", "app_metadata"):
            if not isinstance(p.get(k), (dict, type(None))):
                raise Fail(bad)
        for k in ("email_confirm", "phone_confirm"):
            if not isinstance(p.get(k), (bool, type(None))):
                raise Fail(bad)
        invalid = self.invalid(p)
        if invalid:
            raise Fail(self.err(req, 400, "validation_failed", invalid))
        return p

    def invalid(self, p):
        if p.get("email"):
            p["email"] = p["email"].strip().lower()
            if len(p["email"]) > 255 or not re.fullmatch(r"[^@\s]+@[^@\s]+", p["email"]):
                return "Unable to validate email address: invalid format"
        if p.get("phone"):
            p["phone"] = re.sub(r"[\s]", "", p["phone"]).lstrip("+")
            if not re.fullmatch(r"[1-9][0-9]{1,14}", p["phone"]):
                return "Invalid phone number format (E.164 required)"
        ban = p.get("ban_duration")
        if ban and ban != "none":
            if not re.fullmatch("(?:" + DURATION.pattern + ")+", ban):
                return "invalid format for ban duration: time: invalid duration \"%s\"" % ban
            p["ban_us"] = int(sum(float(n) * UNIT[x] for n, x in DURATION.findall(ban)))
        return None

    # -- create

    def create(self, req):
        p = self.params(req)
        email, phone = p.get("email"), p.get("phone")
        if p.get("id") is not None and (not UUID.fullmatch(p["id"]) or p["id"] == NIL):
            raise Fail(self.err(req, 400, "validation_failed", "ID must conform to the uuid v4 format"))
        if p.get("password") and p.get("password_hash"):
            raise Fail(self.err(req, 400, "validation_failed", "Only a password or a password hash should be provided"))
        if not email and not phone:
            raise Fail(self.err(req, 400, "validation_failed",
                                "Cannot create a user without either an email or phone"))
        if p.get("password_hash") and not HASH.fullmatch(p["password_hash"]):
            raise Fail(self.err(req, 500, "unexpected_failure", "Error creating user"))
        if len((p.get("password") or "").encode()) > 72:
            raise Fail(self.err(req, 500, "unexpected_failure", "Internal Server Error"))
        self.duplicates(req, p, email, phone)
        if self.set["create_error"]:
            raise Fail(self.pg_error(req, "Database error creating new user", self.set["create_error"]))
        u = self.store.new((p.get("id") or "").lower() or None, email or None)
        u.phone, u.verified = phone or None, False
        u.meta = dict(p.get("user_metadata") or {})
        have = [k for k, v in (("email", email), ("phone", phone)) if v]
        u.app = dict({"provider": have[0], "providers": have}, **(p.get("app_metadata") or {}))
        if p.get("aud"):
            u.put(aud=p["aud"])
        self.confirm(u, p)
        u.updated = now_us()
        self.store.add(u, self.note(req))
        return reply(200, self.one(u, fresh=True))

    def duplicates(self, req, p, email, phone):
        if p.get("id") and p["id"].lower() in self.store.by_id:
            raise Fail(self.pg_error(req, "Database error creating new user", self.unique("users_pkey", "id", p["id"])))
        if email and self.store.with_email(email):
            if self.set["race"]:
                raise Fail(self.pg_error(req, "Database error creating new user",
                                         self.unique("users_email_partial_key", "email", email)))
            raise Fail(self.err(req, 422, "email_exists",
                                "A user with this email address has already been registered"))
        if phone and self.with_phone(phone):
            if self.set["race"]:
                raise Fail(self.pg_error(req, "Database error creating new user",
                                         self.unique("users_phone_key", "phone", phone)))
            raise Fail(self.err(req, 422, "phone_exists", "Phone number already registered by another user"))

    def with_phone(self, phone):
        rows = self.store.view("phone", lambda u: u.phone if isinstance(u.phone, str) else "")
        i = bisect.bisect_left(rows, (phone,))
        return [r[2] for r in rows[i:i + 1] if r[0] == phone]

    @staticmethod
    def unique(constraint, column, value):
        return {"code": "23505", "detail": "Key (%s)=(%s) already exists." % (column, value),
                "message": 'duplicate key value violates unique constraint "%s"' % constraint}

    @staticmethod
    def confirm(u, p):
        """The parts that both create and update may set."""
        t = now_us()
        if p.get("email_confirm") and u.email:
            u.put(email_confirmed_at=t)
            u.meta = dict(u.meta or {}, email_verified=True)
        if p.get("phone_confirm") and u.phone:
            u.put(phone_confirmed_at=t)
        if p.get("role"):
            u.put(role=p["role"])
        if p.get("ban_duration"):
            u.blocked = False
            u.put(banned_until=t + p["ban_us"] if "ban_us" in p else None)

    # -- update

    def update(self, req, uid):
        u = self.find(req, uid)
        p = self.params(req)
        if "password" in p and p["password"] is not None:
            self.strength(req, p["password"])
        email, phone = p.get("email"), p.get("phone")
        for column, value, others, name in (
                ("email", email, self.store.with_email(email) if email else (), "users_email_partial_key"),
                ("phone", phone, self.with_phone(phone) if phone else (), "users_phone_key")):
            if value and any(o is not u for o in others):
                raise Fail(self.pg_error(req, "Error updating user", self.unique(name, column, value)))

        def how(u):
            meta, app = self.metas(u)
            if u.verified and u.email and u.get("email_confirmed_at") is None:
                u.put(email_confirmed_at=u.created)
            if email:
                u.email = email
                u.put(id_verified=bool(p.get("email_confirm")))
            if phone:
                u.phone = phone
            if p.get("user_metadata") is not None:
                meta = merged(meta, p["user_metadata"])
            if p.get("app_metadata") is not None:
                app = merged(app, p["app_metadata"])
                u.put(app_set=True)
            u.meta, u.app, u.raw = meta, app, None
            u.name = u.picture = u.nickname = None
            self.confirm(u, p)
            if u.get("is_anonymous") and ((email and p.get("email_confirm")) or (phone and p.get("phone_confirm"))):
                u.put(is_anonymous=None)
        self.store.change(u, how, self.note(req))
        return reply(200, self.one(u, fresh=bool(p.get("email_confirm") or p.get("phone_confirm"))))

    def strength(self, req, password):
        if len(password.encode()) > 72:
            raise Fail(self.err(req, 400, "validation_failed", "Password cannot be longer than 72 characters"))
        if len(password) < 8:
            raise Fail(self.err(req, 422, "weak_password", "Password should be at least 8 characters.",
                                weak_password={"reasons": ["length"]}))

    # -- delete

    def delete(self, req, uid):
        u = self.find(req, uid)
        p = body_object(req, self.err(req, 400, "bad_json", "Could not read params")) if req.body else {}
        if not isinstance(p.get("should_soft_delete"), (bool, type(None))):
            raise Fail(self.err(req, 400, "bad_json", "Could not read params"))
        if self.set["delete_error"]:
            raise Fail(self.pg_error(req, "Database error deleting user", self.set["delete_error"]))
        if not p.get("should_soft_delete"):
            self.store.remove(u, self.note(req))
            return reply(200, {})

        def how(u):
            def junk(value):
                return b64url(hashlib.sha256((u.id + (value or "")).encode()).digest())
            if u.deleted is None:
                u.email, u.phone = junk(u.email), junk(u.phone)[:15]
                u.put(new_email=junk(""), new_phone=junk("")[:15])
            u.deleted = now_us()
            u.meta, u.app, u.raw = {}, {}, None
            u.name = u.picture = u.nickname = None
            u.put(factors=None)
        self.store.change(u, how, self.note(req, soft=True))
        return reply(200, {})
