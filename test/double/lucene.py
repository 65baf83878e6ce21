"""The part of Auth0's query language that is used: ranges over dates, quoted equality, prefixes, AND / OR / NOT, ( )."""
import re

from store import parse_time

TOKEN = re.compile(r'\s*(?:(\(|\))|(AND|OR|NOT|&&|\|\|)(?=[\s(])|(-)?([\w.]+):(\[|\{)\s*(\S+)\s+TO\s+([^\]}\s]+)\s*(\]|\})|'
                   r'(-)?([\w.]+):(?:"((?:[^"\\]|\\.)*)"|([^\s()"]+)))')
FOLDED = {"email", "name", "given_name", "family_name", "nickname"}
DATES = {"created_at": "created", "updated_at": "updated", "last_login": "last"}


class Syntax(Exception):
    pass


class Range:
    """field within [low, high]; an open end is None."""
    def __init__(self, field, low, high, low_in, high_in):
        self.attr = DATES.get(field)
        if self.attr is None:
            raise Syntax("no range over " + field)
        self.low, self.high, self.low_in, self.high_in = self.bound(low), self.bound(high), low_in, high_in

    @staticmethod
    def bound(text):
        if text == "*":
            return None
        us = parse_time(text.strip('"'))
        if us is None:
            raise Syntax("not a date: " + text)
        return us // 1000

    def __call__(self, u):
        v = getattr(u, self.attr)
        if v is None:
            return False
        v //= 1000
        if self.low is not None and (v < self.low or (v == self.low and not self.low_in)):
            return False
        return self.high is None or v < self.high or (v == self.high and self.high_in)


class Equal:
    def __init__(self, field, value, quoted, native):
        self.field, self.native = field, native
        self.prefix = not quoted and value.endswith("*")
        value = re.sub(r"\\(.)", r"\1", value[:-1] if self.prefix else value)
        self.value = value.lower() if field in FOLDED else value

    def __call__(self, u):
        obj = self.native(u)
        for k in self.field.split("."):
            if isinstance(obj, list):
                obj = [o.get(k) for o in obj if isinstance(o, dict)]
            else:
                obj = obj.get(k) if isinstance(obj, dict) else None
        for v in obj if isinstance(obj, list) else [obj]:
            if v is None:
                continue
            v = ("true" if v else "false") if isinstance(v, bool) else str(v)
            v = v.lower() if self.field in FOLDED else v
            if v.startswith(self.value) if self.prefix else v == self.value:
                return True
        return False


class And:
    def __init__(self, parts):
        self.parts = parts

    def __call__(self, u):
        return all(p(u) for p in self.parts)


class Or(And):
    def __call__(self, u):
        return any(p(u) for p in self.parts)


class Not:
    def __init__(self, part):
        self.part = part

    def __call__(self, u):
        return not self.part(u)


def parse(text, native):
    toks, pos = [], 0
    while text[pos:].strip():
        m = TOKEN.match(text, pos)
        if not m:
            raise Syntax("cannot read: " + text[pos:pos + 40])
        toks.append(m)
        pos = m.end()
    toks.append(None)
    at = [0]

    def word():
        t = toks[at[0]]
        return None if t is None else t.group(1) or {"&&": "AND", "||": "OR"}.get(t.group(2), t.group(2))

    def either():
        parts = [both()]
        while word() == "OR":
            at[0] += 1
            parts.append(both())
        return parts[0] if len(parts) == 1 else Or(parts)

    def both():
        parts = [single()]
        while word() == "AND" or (toks[at[0]] is not None and word() not in ("OR", ")")):
            if word() == "AND":
                at[0] += 1
            parts.append(single())
        return parts[0] if len(parts) == 1 else And(parts)

    def single():
        t, w = toks[at[0]], word()
        at[0] += 1
        if w == "NOT":
            return Not(single())
        if w == "(":
            inner = either()
            if word() != ")":
                raise Syntax("missing )")
            at[0] += 1
            return inner
        if t is None or w:
            raise Syntax("a condition is missing")
        if t.group(4):
            part = Range(t.group(4), t.group(6), t.group(7), t.group(5) == "[", t.group(8) == "]")
            return Not(part) if t.group(3) else part
        value = t.group(11) if t.group(11) is not None else t.group(12)
        if t.group(10).startswith("user_metadata"):
            raise Syntax("user_metadata cannot be searched")
        part = Equal(t.group(10), value, t.group(11) is not None, native)
        return Not(part) if t.group(9) else part
    out = either()
    if toks[at[0]] is not None:
        raise Syntax("too many )")
    return out
