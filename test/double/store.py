"""Users in memory: ordered by creation, found by id and by email, with a log of changes.

A million of them must fit into little memory, so a user is a slotted object without any rendered JSON; what is
shared (names, empty metadata) is stored once, and metadata is replaced, never changed in place.
"""
import bisect
import copy
import gc
import random
import re
import time
from datetime import datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1)
FIRST = ("Ana Bea Carl Dora Emil Fay Gus Hana Ines Jan Kim Lea Mona Nils Olga Paul Rosa Sven Tara Uwe Vera Will "
         "Yara Zoe Aino Bjork Chidi Deniz Eleni Farid").split()
LAST = ("Abel Berg Cruz Duarte Ek Fischer Grau Holm Ito Jansen Kraus Lund Moreau Novak Ober Prado Quist Rossi Silva "
        "Toth Ueda Vogel Weiss Ximenes Young Zimmer Okafor Yilmaz Papas Haddad").split()
NAMES = [f + " " + l for f in FIRST for l in LAST]
MAILS = [n.lower().replace(" ", ".") for n in NAMES]
TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?\s*(Z|z|[+-]\d\d:?\d\d)?")


def now_us():
    return time.time_ns() // 1000


def parse_time(v):
    """ISO text or epoch milliseconds, to epoch microseconds; None if it is neither."""
    if isinstance(v, bool) or v is None:
        return None
    if isinstance(v, (int, float)):
        return int(v * 1000)
    v = str(v)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", v):
        v += "T00:00:00Z"
    m = TIME.fullmatch(v)
    if not m:
        return None
    y, mo, d, h, mi, s = (int(x or 0) for x in m.groups()[:6])
    try:
        t = datetime(y, mo, d, h, mi, min(s, 59), tzinfo=timezone.utc)
    except ValueError:
        return None
    us = int((t - datetime(1970, 1, 1, tzinfo=timezone.utc)).total_seconds()) * 1000000
    us += int(((m.group(7) or "") + "000000")[:6])
    z = m.group(8)
    if z and z not in "Zz":
        sign = -1 if z[0] == "-" else 1
        us -= sign * (int(z[1:3]) * 3600 + int(z[-2:]) * 60) * 1000000
    return us


def iso(us, digits=3):
    """Epoch microseconds as RFC 3339 in UTC with that many digits of the second."""
    text = (EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")
    return (text[:19] if digits == 0 else text[:20 + digits]) + "Z"


def scramble(n):
    return (n * 0x9E3779B97F4A7C15 + 0x1234567) & 0xFFFFFFFFFFFFFFFF


def make_uuid(n):
    h = scramble(n)
    return "%08x-%04x-4%03x-8%03x-%012x" % (h >> 32, h >> 16 & 0xFFFF, h >> 4 & 0xFFF, h & 0xFFF, n)


def make_base32(n, length, alphabet="0123456789ABCDEFGHJKMNPQRSTVWXYZ"):
    h, out, base = scramble(n) << 44 | n, [], len(alphabet)
    for _ in range(length):
        h, r = divmod(h, base)
        out.append(alphabet[r])
    return "".join(reversed(out))


def random_n():
    return random.getrandbits(40) | 1 << 40


class User:
    __slots__ = ("seq", "created", "updated", "id", "email", "phone", "username", "verified", "name", "nickname",
                 "picture", "blocked", "last", "meta", "app", "deleted", "raw", "x")

    def __init__(self, seq, created, uid, email=None):
        self.seq = seq
        self.created = self.updated = created
        self.id = uid
        self.email = email
        self.phone = self.username = self.name = self.nickname = self.picture = self.last = None
        self.meta = self.app = self.deleted = self.raw = self.x = None
        self.verified = self.blocked = False

    def __lt__(self, other):
        if self.created != other.created:
            return self.created < other.created
        return self.seq < other.seq

    def get(self, key, default=None):
        return default if self.x is None else self.x.get(key, default)

    def put(self, **kw):
        x = dict(self.x or {})
        for k, v in kw.items():
            if v is None:
                x.pop(k, None)
            else:
                x[k] = v
        self.x = x or None


FIELDS = {"email": "email", "phone": "phone", "email_verified": "verified", "name": "name", "nickname": "nickname",
          "picture": "picture", "blocked": "blocked", "user_metadata": "meta", "app_metadata": "app",
          "username": "username"}
TIMES = {"created_at": "created", "updated_at": "updated", "last_sign_in_at": "last", "deleted_at": "deleted"}


def apply_fields(u, fields):
    """The neutral field names of the control calls, into a user."""
    for k, v in fields.items():
        if k in FIELDS:
            setattr(u, FIELDS[k], v)
        elif k in TIMES:
            setattr(u, TIMES[k], parse_time(v))
        elif k == "extra":
            u.put(**v)
    if u.created is None:
        u.created = now_us()
    if u.updated is None or ("created_at" in fields and "updated_at" not in fields):
        u.updated = u.created


class Store:
    def __init__(self, make_id, render):
        self.make_id, self.render = make_id, render
        self.order, self.by_id, self.by_email = [], {}, {}
        self.views, self.changes, self.pending = {}, [], []
        self.seq = 0
        self.lag_ms = 0

    def __len__(self):
        return len(self.order)

    # -- indexes

    def _index(self, u):
        if not self.order or self.order[-1] < u:
            self.order.append(u)
        else:
            bisect.insort(self.order, u)
        self.by_id[u.id] = u
        self._email_in(u)
        for key, rows in self.views.values():
            bisect.insort(rows, (key(u), u.seq, u))

    def _email_in(self, u):
        if not isinstance(u.email, str):
            return
        e = u.email.lower()
        have = self.by_email.get(e)
        if have is None:
            self.by_email[e] = u
        else:
            self.by_email[e] = (have if isinstance(have, list) else [have]) + [u]

    def _unindex(self, u):
        i = bisect.bisect_left(self.order, u)
        if i < len(self.order) and self.order[i] is u:
            del self.order[i]
        if self.by_id.get(u.id) is u:
            del self.by_id[u.id]
        if isinstance(u.email, str):
            rest = [o for o in self.with_email(u.email) if o is not u]
            self.by_email.pop(u.email.lower(), None)
            if rest:
                self.by_email[u.email.lower()] = rest if len(rest) > 1 else rest[0]
        for key, rows in self.views.values():
            i = bisect.bisect_left(rows, (key(u), u.seq))
            if i < len(rows) and rows[i][2] is u:
                del rows[i]

    def view(self, name, key):
        """All users as sorted (key, seq, user); kept in order from then on."""
        if name not in self.views:
            self.views[name] = (key, sorted((key(u), u.seq, u) for u in self.order))
        return self.views[name][1]

    def with_email(self, email):
        have = self.by_email.get(email.lower())
        return have if isinstance(have, list) else [] if have is None else [have]

    # -- changes

    def _note(self, op, u, old, note):
        if self.lag_ms:
            self.pending.append((time.time(), u.id, old))
        if note is not None:
            self.changes.append(dict(note, n=len(self.changes) + 1, t=now_us(), op=op, id=u.id, email=u.email,
                                     user=self.render(u)))

    def new(self, uid=None, email=None, created=None):
        self.seq += 1
        return User(self.seq, now_us() if created is None else created, uid or self.make_id(random_n()), email)

    def add(self, u, note=None):
        self._index(u)
        self._note("create", u, None, note)
        return u

    def change(self, u, how, note=None, touch=True):
        """how(u) changes it; whatever it is indexed by follows."""
        old = copy.copy(u)
        self._unindex(u)
        try:
            how(u)
            if touch:
                u.updated = max(now_us(), u.updated + 1)
        finally:
            self._index(u)
        self._note("update", u, old, note)

    def remove(self, u, note=None):
        self._unindex(u)
        self._note("delete", u, copy.copy(u), note)

    # -- control

    def fill(self, count, start, created, step_us, template):
        """count plausible users at once; not in the change log, visible at once."""
        template = {k: v for k, v in (template or {}).items()}
        texts = {k: v for k, v in template.items() if isinstance(v, str) and "{n}" in v}
        fixed = {k: v for k, v in template.items() if k not in texts and k not in ("created_at", "updated_at")}
        attrs = [(FIELDS[k], v) for k, v in fixed.items() if k in FIELDS]
        times = [(TIMES[k], parse_time(v)) for k, v in fixed.items() if k in TIMES]
        extra = fixed.get("extra")
        late = parse_time(template.get("updated_at"))
        make_id, out, kinds = self.make_id, [], len(NAMES)
        gc.disable()
        try:
            for n in range(start, start + count):
                i = n % kinds
                u = User(self.seq + 1 + n - start, created + (n - start) * step_us, make_id(n),
                         "%s.%d@example.test" % (MAILS[i], n))
                u.name = NAMES[i]
                u.verified = n % 10 != 3
                for k, v in attrs:
                    setattr(u, k, v)
                for k, v in times:
                    setattr(u, k, v)
                if late is not None:
                    u.updated = late
                if extra:
                    u.x = extra
                for k, v in texts.items():
                    v = v.replace("{n}", str(n))
                    if k == "id":
                        u.id = v
                    elif k in FIELDS:
                        setattr(u, FIELDS[k], v)
                out.append(u)
        finally:
            gc.enable()
        self.seq += count
        sort = bool(self.order and out and out[0] < self.order[-1])
        self.order.extend(out)
        if sort:
            self.order.sort()
        self.by_id.update((u.id, u) for u in out)
        for u in out:
            e = u.email
            if isinstance(e, str) and e.lower() not in self.by_email:
                self.by_email[e.lower()] = u
            else:
                self._email_in(u)
        self.views.clear()
        gc.freeze()
        return len(out)

    def put_fields(self, fields, note=None):
        """A user field by field; one with this id is replaced."""
        old = self.by_id.get(fields.get("id")) if fields.get("id") else None
        if old is not None:
            self.change(old, lambda u: apply_fields(u, fields), note, touch="updated_at" not in fields)
            return old
        u = self.new(fields.get("id"))
        apply_fields(u, fields)
        return self.add(u, note)

    # -- what a lagging search index still shows

    def overlay(self):
        """id -> the version that the index has (None: not there yet), for what changed within the lag."""
        if not self.pending:
            return {}
        edge = time.time() - self.lag_ms / 1000
        self.pending = [p for p in self.pending if p[0] > edge]
        seen = {}
        for _, uid, old in self.pending:
            seen.setdefault(uid, old)
        return seen
