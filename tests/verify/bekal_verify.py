#!/usr/bin/env python3
"""Verifies the public bundle of a draw, from services/draw/README.md alone.

Independent of the Rust code on purpose, and on the standard library only.
Exit code 0: valid; 1: not valid, the reason is named; 64: wrong use.
"""

import hashlib
import hmac
import json
import math
import struct
import sys
from collections import Counter, namedtuple

import bls12_381

MAGIC = b"bekal/bundle/1\r\n"
COMMITMENT_BYTES_MAX = 262_144
ENTRANTS_MAX = 100_000_000
GROUPS_MAX = 32
REGIONS_MAX = 10_000
TRUSTEES_MAX = 32
COMMIT_REVEAL, DRAND = 1, 2
LEAD_SECONDS_MIN = 60
TIME_MAX = 2**64 - 1
QUICKNET = (
    bytes.fromhex(
        "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c"
        "8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb"
        "5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
    ),
    1692803367,
    3,
)
Entrant = namedtuple("Entrant", "pseudonym region groups apply_order sex age_band prior token")
NOT_DRAWN, HOUSEHOLD_LIMIT, GENERAL, REGION, GROUP = 0, 1, 2, 3, 0x80


class Invalid(Exception):
    """A fault; `reason` is the word that every verifier gives it."""

    def __init__(self, reason, detail):
        super().__init__(detail)
        self.reason = reason


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- Ed25519 (RFC 8032), verification only ---

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def point_add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    e = (y1 - x1) * (y2 - x2) % P
    f = (y1 + x1) * (y2 + x2) % P
    g = 2 * t1 * t2 * D % P
    h = 2 * z1 * z2 % P
    return ((f - e) * (h - g) % P, (h + g) * (f + e) % P, (h - g) * (h + g) % P, (f - e) * (f + e) % P)


def point_multiply(scalar, point):
    product = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            product = point_add(product, point)
        point = point_add(point, point)
        scalar >>= 1
    return product


def point_decode(data):
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def point_encode(point):
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def is_of_small_order(point):
    return point_encode(point_multiply(8, point)) == (1).to_bytes(32, "little")


BASE = point_decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def signature_holds(key, message, signature):
    point, commitment = point_decode(key), point_decode(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if point is None or commitment is None or scalar >= L:
        return False
    if is_of_small_order(point) or is_of_small_order(commitment):
        return False
    digest = hashlib.sha512(signature[:32] + key + message).digest()
    challenge = int.from_bytes(digest, "little") % L
    right = point_add(commitment, point_multiply(challenge, point))
    return point_encode(point_multiply(scalar, BASE)) == point_encode(right)


# --- encodings ---


class Fields:
    """Takes fields off the front of a byte string."""

    def __init__(self, name, data):
        self.name, self.data, self.at = name, data, 0

    def malformed(self, problem):
        return Invalid("MALFORMED", f"the {self.name} {problem}")

    def take(self, length):
        if self.at + length > len(self.data):
            raise self.malformed("ends early")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, length):
        return int.from_bytes(self.take(length), "big")

    def text(self):
        raw = self.take(self.number(1))
        try:
            decoded = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self.malformed("is not UTF-8") from None
        if not 1 <= len(raw) <= 200 or any(byte < 0x20 or byte == 0x7F for byte in raw):
            raise self.malformed("is not 1 to 200 bytes of printable text")
        return decoded

    def option(self, length):
        mark = self.number(1)
        if mark > 1:
            raise self.malformed("has a mark other than 0 and 1")
        return self.take(length) if mark else None

    def expect(self, literal):
        if self.take(len(literal)) != literal:
            raise self.malformed("has another kind or version")

    def end(self):
        if self.at != len(self.data):
            raise self.malformed("has trailing bytes")


def text_bytes(text):
    raw = text.encode()
    return bytes([len(raw)]) + raw


def read_plan(data):
    fields = Fields("quota plan", data)
    fields.expect(b"\x01")
    plan = {"places": fields.number(4)}
    plan["groups"] = [(fields.text(), fields.number(4)) for _ in range(fields.number(2))]
    plan["kind"] = fields.number(1)
    if plan["kind"] > 2:
        raise fields.malformed("has an unknown kind of regions")
    columns = plan["kind"] + 1
    count = fields.number(2) if plan["kind"] else 0
    plan["regions"] = [tuple(fields.number(4) for _ in range(columns)) for _ in range(count)]
    plan["rule"] = fields.number(1)
    if plan["rule"] > 2:
        raise fields.malformed("has an unknown remainder rule")
    fields.end()
    if len(plan["groups"]) > GROUPS_MAX or count > REGIONS_MAX:
        raise Invalid("LIMIT_EXCEEDED", "the plan has too many groups or regions")
    if len({name for name, _ in plan["groups"]}) != len(plan["groups"]):
        raise fields.malformed("names a group twice")
    codes = [0] + [row[0] for row in plan["regions"]]
    if any(a >= b for a, b in zip(codes, codes[1:])):
        raise fields.malformed("has regions out of order, repeated or with code 0")
    bound = sum(places for _, places in plan["groups"]) + sum(row[-1] for row in plan["regions"])
    if bound > plan["places"]:
        raise fields.malformed("reserves more places than there are")
    return plan


def read_round(data):
    fields = Fields("drand round", data)
    chain = (fields.take(96), fields.number(8), fields.number(4))
    number = fields.number(8)
    fields.end()
    _, genesis, period = chain
    if period == 0:
        raise fields.malformed("has rounds without a period")
    return {"chain": chain, "number": number, "time": min(genesis + (number - 1) * period, TIME_MAX)}


def check_round(drand_round):
    if drand_round["number"] == 0 or not bls12_381.key_is_valid(drand_round["chain"][0]):
        raise Invalid("MALFORMED", "the drand round is round 0 or has a public key that is not a point of G2")


def read_trustees(fields):
    trustees = [(fields.text(), fields.take(32)) for _ in range(fields.number(1))]
    source = {"trustees": trustees, "quorum": fields.number(1), "deadline": fields.number(8)}
    beacon = fields.option(116)
    fields.end()
    source["beacon"] = beacon and read_round(beacon)
    if len(trustees) > TRUSTEES_MAX:
        raise Invalid("LIMIT_EXCEEDED", "there are too many trustees")
    if not trustees or len({name for name, _ in trustees}) != len(trustees):
        raise fields.malformed("is empty or names a trustee twice")
    if not 1 <= source["quorum"] <= len(trustees):
        raise fields.malformed("has a quorum that is not 1 to its length")
    if source["beacon"]:
        check_round(source["beacon"])
    return source


def read_source(kind, data):
    if kind == COMMIT_REVEAL:
        return read_trustees(Fields("list of trustees", data))
    if kind == DRAND:
        drand_round = read_round(data)
        check_round(drand_round)
        return {"round": drand_round}
    raise Invalid("UNSUPPORTED_SOURCE", f"randomness of kind {kind} is not known")


def check_comes_after(drand_round, time):
    if drand_round["time"] < time + LEAD_SECONDS_MIN:
        raise Invalid("ROUND_TOO_EARLY", f"round {drand_round['number']} could be known before it was committed to")


def check_times(source, commit_time):
    """Nobody may know the randomness when the commitment is made."""
    if "round" in source:
        check_comes_after(source["round"], commit_time)
    elif source["deadline"] <= commit_time:
        raise Invalid("MALFORMED", "the reveal deadline is not after the commit time")
    elif source["beacon"]:
        check_comes_after(source["beacon"], source["deadline"])


def read_commitment(data):
    fields = Fields("commitment", data)
    fields.expect(b"bekal/commitment/1")
    commitment = {
        "batch": fields.text(),
        "count": fields.number(8),
        "root": fields.take(32),
        "rule_set": fields.take(32),
    }
    commitment["plan"] = read_plan(fields.take(fields.number(4)))
    commitment["limit"] = fields.number(1)
    kind = fields.number(1)
    commitment["source"] = read_source(kind, fields.take(fields.number(2)))
    commitment["time"] = fields.number(8)
    fields.end()
    if commitment["count"] > ENTRANTS_MAX:
        raise Invalid("LIMIT_EXCEEDED", "there are too many entrants")
    check_times(commitment["source"], commitment["time"])
    return commitment


# --- the randomness ---


def read_reveal(kind, data):
    """Returns the secrets and the signature of the round beside them, or the signature of the round alone."""
    fields = Fields("reveal", data)
    if kind == COMMIT_REVEAL:
        reveal = [fields.option(32) for _ in range(fields.number(1))], fields.option(48)
    elif kind == DRAND:
        reveal = fields.take(48)
    else:
        raise Invalid("UNSUPPORTED_SOURCE", f"randomness of kind {kind} is not known")
    fields.end()
    return reveal


def check_beacon(drand_round, signature):
    message = sha256(drand_round["number"].to_bytes(8, "big"))
    if not bls12_381.signature_holds(drand_round["chain"][0], message, signature):
        number = drand_round["number"]
        raise Invalid("BEACON_SIGNATURE_INVALID", f"the signature of drand round {number} does not hold")


def check_secrets(batch, source, secrets, signature):
    if len(secrets) != len(source["trustees"]):
        raise Invalid("REVEAL_COUNT", "the reveal is for another number of trustees")
    for (name, committed), secret in zip(source["trustees"], secrets):
        if secret is None:
            continue
        if sha256(b"bekal/reveal/1", text_bytes(batch), text_bytes(name), secret) != committed:
            raise Invalid("REVEAL_MISMATCH", f"the secret of {name} is not the one committed to")
    absent = secrets.count(None)
    if len(secrets) - absent < source["quorum"]:
        raise Invalid("QUORUM_MISSED", f"{len(secrets) - absent} trustees revealed, {source['quorum']} are needed")
    if signature is None and source["beacon"]:
        raise Invalid("BEACON_MISSING", "the signature of the beacon's round is missing")
    if signature is not None and not source["beacon"]:
        raise Invalid("BEACON_UNEXPECTED", "there is a beacon's signature though the source names no round")
    if signature is not None:
        check_beacon(source["beacon"], signature)


def round_name(drand_round):
    if drand_round["chain"] == QUICKNET:
        return f"drand quicknet round {drand_round['number']}"
    return f"round {drand_round['number']} of the drand chain with key {drand_round['chain'][0].hex()}"


def check_reveal(commitment, kind, body):
    """Returns how the answer tells where the randomness came from."""
    source, reveal = commitment["source"], read_reveal(kind, body)
    if ("round" in source) != (kind == DRAND):
        raise Invalid("MALFORMED", "the reveal is of another kind than the source")
    if kind == DRAND:
        check_beacon(source["round"], reveal)
        return {"source": round_name(source["round"])}
    secrets, signature = reveal
    check_secrets(commitment["batch"], source, secrets, signature)
    absent = [name for (name, _), secret in zip(source["trustees"], secrets) if secret is None]
    told = f"{len(secrets) - len(absent)} of {len(secrets)} trustees"
    if source["beacon"]:
        told += f" and {round_name(source['beacon'])}"
    return {"source": told, "absent": absent}


# --- the draw ---


def merkle_root(hashes):
    """RFC 6962; pairing level by level gives the same tree as splitting at powers of two."""
    if not hashes:
        return sha256()
    while len(hashes) > 1:
        paired = [sha256(b"\x01", hashes[i], hashes[i + 1]) for i in range(0, len(hashes) - 1, 2)]
        hashes = paired + hashes[len(paired) * 2 :]
    return hashes[0]


def inclusion_proof(index, hashes):
    path = []
    while len(hashes) > 1:
        if index ^ 1 < len(hashes):
            path.append(hashes[index ^ 1])
        paired = [sha256(b"\x01", hashes[i], hashes[i + 1]) for i in range(0, len(hashes) - 1, 2)]
        hashes = paired + hashes[len(paired) * 2 :]
        index //= 2
    return path


def share_places(total, regions):
    """Largest remainder with floors; `regions` are (code, weight, floor)."""
    places, sharing, left = {}, list(regions), total
    while sharing:
        weights = sum(weight for _, weight, _ in sharing)
        low = [row for row in sharing if weights == 0 or left * row[1] < row[2] * weights]
        if not low:
            break
        for code, _, floor in low:
            places[code] = floor
            left -= floor
        sharing = [row for row in sharing if row[0] not in places]
    weights = sum(weight for _, weight, _ in sharing)
    for code, weight, _ in sharing:
        places[code] = left * weight // weights
    rest = left - sum(places[code] for code, _, _ in sharing)
    for code, _, _ in sorted(sharing, key=lambda row: (-(left * row[1] % weights), row[0]))[:rest]:
        places[code] += 1
    return places


def draw(commitment, randomness, entrants):
    """Returns {pseudonym: (rank, code)}."""
    plan, limit = commitment["plan"], commitment["limit"]
    key = randomness + commitment["root"] + commitment["batch"].encode()
    order = sorted(entrants, key=lambda e: (hmac.digest(key, e[0], "sha256"), e[0]))
    code_of, winners_of = {}, {}

    def walk(free, total, stratum_of, code):
        """Gives `total` places; `free` counts them by stratum."""
        for pseudonym, region, groups, _, _, _, prior, token in order:
            if total == 0:
                break
            stratum = stratum_of(region, groups)
            if pseudonym in code_of or free.get(stratum, 0) == 0:
                continue
            if limit and token is not None and prior + winners_of.get(token, 0) >= limit:
                code_of[pseudonym] = HOUSEHOLD_LIMIT
                continue
            if token is not None:
                winners_of[token] = winners_of.get(token, 0) + 1
            code_of[pseudonym] = code
            free[stratum] -= 1
            total -= 1
        return total

    unused = 0
    for i, (_, places) in enumerate(plan["groups"]):
        unused += walk({True: places}, places, lambda _, groups, i=i: bool(groups >> i & 1), GROUP + i)
    outside = plan["places"] - sum(places for _, places in plan["groups"])
    shared = outside + unused if plan["rule"] == 1 else outside
    by_region = share_places(shared, plan["regions"]) if plan["kind"] == 2 else dict(plan["regions"])
    bound = sum(by_region.values())
    walk(by_region, bound, lambda region, _: region, REGION)
    given = sum(code != HOUSEHOLD_LIMIT for code in code_of.values())
    general = outside - bound if plan["rule"] == 2 else plan["places"] - given
    walk({True: general}, general, lambda *_: True, GENERAL)
    return {e[0]: (rank, code_of.get(e[0], NOT_DRAWN)) for rank, e in enumerate(order, 1)}


# --- the self-test ---


def chi_squared_tail(statistic, degrees):
    """Upper tail, by the closed form that a whole number of degrees has."""
    half, odd = statistic / 2, degrees % 2
    if half <= 0:
        return 1.0
    terms = (i + odd / 2 for i in range(degrees // 2))
    logs = (power * math.log(half) - half - math.lgamma(power + 1) for power in terms)
    return math.fsum(map(math.exp, logs)) + (math.erfc(math.sqrt(half)) if odd else 0.0)


def kolmogorov_tail(value):
    """Upper tail of the limiting distribution of D √(n₁n₂ / (n₁ + n₂))."""
    if value < 0.05:
        return 1.0
    if value < 1:
        terms = (math.exp(-((2 * i + 1) ** 2) * math.pi**2 / (8 * value**2)) for i in range(6))
        return 1 - math.sqrt(2 * math.pi) / value * math.fsum(terms)
    return 2 * math.fsum((-1) ** (i - 1) * math.exp(-2 * (i * value) ** 2) for i in range(1, 7))


def order_test(entrants, ranks, first):
    """Kolmogorov–Smirnov between the first ranks and the others."""
    others = len(entrants) - first
    if first == 0 or others == 0:
        return 0.0, 0, 1.0
    orders = [(entrant.apply_order, ranks[entrant.pseudonym] <= first) for entrant in entrants]
    early, late = Counter(), Counter()
    for order, is_first in orders:
        (early if is_first else late)[order] += 1
    gap, early_sum, late_sum = 0, 0, 0
    for order in range(100):
        early_sum += early[order]
        late_sum += late[order]
        gap = max(gap, abs(early_sum * others - late_sum * first))
    statistic = gap / (first * others)
    return statistic, 0, kolmogorov_tail(statistic * math.sqrt(first * others / (first + others)))


def category_test(category_of, entrants, ranks):
    """χ² of category × tenth of the ranks."""
    count = len(entrants)
    sizes = Counter(rank * 10 // count for rank in range(count))
    table = {}
    for entrant in entrants:
        row = table.setdefault(category_of(entrant), [0] * 10)
        row[(ranks[entrant.pseudonym] - 1) * 10 // count] += 1

    def is_small(row):
        return sum(row) * (count // 10) < 5 * count

    rows = [table[category] for category in sorted(table)]
    other = [sum(column) for column in zip([0] * 10, *filter(is_small, rows))]
    rows = [row for row in rows if not is_small(row)]
    if not is_small(other):
        rows.append(other)
    elif rows:
        smallest = rows.index(min(rows, key=sum))
        rows[smallest] = [a + b for a, b in zip(rows[smallest], other)]
    if len(rows) < 2:
        return 0.0, 0, 1.0
    expected = [[sum(row) * sizes[i] / count for i in range(10)] for row in rows]
    cells = ((o - e) ** 2 / e for row, line in zip(rows, expected) for o, e in zip(row, line))
    statistic, degrees = math.fsum(cells), (len(rows) - 1) * 9
    return statistic, degrees, chi_squared_tail(statistic, degrees)


def three_digits(number):
    mantissa, exponent = f"{number:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def self_test(entrants, outcomes):
    """Returns the findings, and whether one of them raises the alarm."""
    ranks = {pseudonym: rank for pseudonym, (rank, _) in outcomes.items()}
    winners = sum(code > HOUSEHOLD_LIMIT for _, code in outcomes.values())
    first = winners if 0 < winners < len(entrants) else len(entrants) // 2
    tests = {
        "apply_order": order_test(entrants, ranks, first),
        "region": category_test(lambda entrant: entrant.region, entrants, ranks),
        "sex": category_test(lambda entrant: entrant.sex, entrants, ranks),
        "age_band": category_test(lambda entrant: entrant.age_band, entrants, ranks),
    }
    findings = [
        {
            "name": name,
            "statistic": three_digits(statistic),
            "degrees_of_freedom": degrees,
            "p_value": three_digits(p_value),
        }
        for name, (statistic, degrees, p_value) in tests.items()
    ]
    return findings, any(p_value < 0.01 / 4 for _, _, p_value in tests.values())


# --- the bundle ---


class Bundle:
    """Reads sections of the file."""

    def __init__(self, file):
        self.file = file

    def take(self, length, section):
        data = self.file.read(length)
        if len(data) != length:
            raise Invalid("TRUNCATED", f"the bundle ends inside its {section}")
        return data

    def header(self):
        if self.file.read(len(MAGIC)) != MAGIC:
            raise Invalid("NOT_A_BUNDLE", "the file is not a draw bundle of version 1")
        length = int.from_bytes(self.take(4, "commitment"), "big")
        if length > COMMITMENT_BYTES_MAX:
            raise Invalid("LIMIT_EXCEEDED", "the commitment is too long")
        raw = self.take(length, "commitment")
        commitment = read_commitment(raw)
        return raw, commitment, self.take(32, "signature"), self.take(64, "signature")

    def entrants(self, commitment):
        """Returns the entrants and their leaf hashes."""
        entrants, leaves, last = [], [], b""
        group_bits = len(commitment["plan"]["groups"])
        for index in range(commitment["count"]):
            record = self.take(27, "entrants")
            pseudonym, region, groups, apply_order, sex_age, household = struct.unpack(">16sIIBBB", record)
            token = self.take(16, "entrants") if household else None
            sex, age_band = divmod(sex_age, 16)
            if groups >> group_bits or apply_order > 99 or sex > 2:
                raise Invalid("ENTRANT_MALFORMED", f"entrant {index} is malformed")
            if pseudonym <= last:
                raise Invalid("ENTRANT_ORDER", f"entrant {index} does not come after the one before")
            last = pseudonym
            prior = household - 1 if household else 0
            entrants.append(Entrant(pseudonym, region, groups, apply_order, sex, age_band, prior, token))
            leaves.append(sha256(b"\x00bekal/row/1", record, token or b""))
        return entrants, leaves

    def randomness(self, commitment):
        """Returns the randomness and where it came from."""
        head = self.take(3, "reveal")
        kind, length = struct.unpack(">BH", head)
        body = self.take(length, "reveal")
        told = check_reveal(commitment, kind, body)
        return sha256(b"bekal/randomness/1", text_bytes(commitment["batch"]), head, body), told


def verify(file, expected_key):
    bundle = Bundle(file)
    raw, commitment, key, signature = bundle.header()
    if expected_key not in (None, key):
        raise Invalid("KEY_MISMATCH", "the bundle is signed with another key than given")
    if not signature_holds(key, raw, signature):
        raise Invalid("SIGNATURE_INVALID", "the commitment's signature does not hold")
    entrants, leaves = bundle.entrants(commitment)
    if merkle_root(leaves) != commitment["root"]:
        raise Invalid("ROOT_MISMATCH", "the entrants are not those committed to")
    randomness, told = bundle.randomness(commitment)
    outcomes = draw(commitment, randomness, entrants)
    result = hashlib.sha256(b"bekal/result/1" + text_bytes(commitment["batch"]) + randomness)
    for entrant in entrants:
        record = struct.pack(">IB", *outcomes[entrant[0]])
        if bundle.take(5, "result") != record:
            raise Invalid("RESULT_MISMATCH", f"the outcome of entrant {entrant[0].hex()} is not the drawn one")
        result.update(record)
    if bundle.take(32, "result hash") != result.digest():
        raise Invalid("RESULT_HASH_MISMATCH", "the hash of the result is wrong")
    if file.read(1):
        raise Invalid("TRAILING_BYTES", "bytes follow after the end of the bundle")
    codes = [code for _, code in outcomes.values()]
    findings, alarm = self_test(entrants, outcomes)
    answer = {
        "valid": True,
        "batch": commitment["batch"],
        "entrants": len(entrants),
        "places": commitment["plan"]["places"],
        "winners": sum(code > HOUSEHOLD_LIMIT for code in codes),
        "household_limited": codes.count(HOUSEHOLD_LIMIT),
        "root": commitment["root"].hex(),
        "rule_set": commitment["rule_set"].hex(),
        **told,
        "randomness": randomness.hex(),
        "result_hash": result.hexdigest(),
        "commit_time": commitment["time"],
        "public_key": key.hex(),
        "public_key_id": sha256(key)[:8].hex(),
        "public_key_expected": expected_key is not None,
        "self_test": findings,
        "self_test_alarm": alarm,
    }
    return answer, commitment, key, leaves, outcomes


def standing(data, key, commitment, leaves, outcomes):
    fields = Fields("receipt", data)
    fields.expect(b"bekal/receipt/1")
    batch, pseudonym, apply_time = fields.text(), fields.take(16), fields.number(8)
    signed, signature = data[: fields.at], fields.take(64)
    fields.end()
    if not signature_holds(key, signed, signature):
        raise Invalid("RECEIPT_SIGNATURE_INVALID", "the receipt's signature does not hold")
    if batch != commitment["batch"]:
        raise Invalid("RECEIPT_OTHER_BATCH", "the receipt is for another batch")
    if pseudonym not in outcomes:
        return {"listed": False, "applied_in_time": apply_time <= commitment["time"]}
    rank, code = outcomes[pseudonym]
    names = {0: "not drawn", 1: "household limit", 2: "won in general pool", 3: "won in region"}
    leaf = sorted(outcomes).index(pseudonym)
    return {
        "listed": True,
        "rank": rank,
        "outcome": names.get(code, f"won in group {code - GROUP}"),
        "leaf": leaf,
        "proof": " ".join(node.hex() for node in inclusion_proof(leaf, leaves)),
    }


# --- the command ---


def parse_arguments(words):
    options, bundles, words = {"--json": False}, [], list(words)
    while words:
        word = words.pop(0)
        if word == "--json":
            options[word] = True
        elif word in ("--public-key", "--receipt-key"):
            options[word] = bytes.fromhex(words.pop(0))
            if point_decode(options[word]) is None or len(options[word]) != 32:
                raise ValueError
        elif word == "--receipt":
            options[word] = words.pop(0)
        elif word.startswith("--"):
            raise ValueError
        else:
            bundles.append(word)
    (options["bundle"],) = bundles
    return options


def main(words):
    try:
        options = parse_arguments(words)
    except (ValueError, IndexError):
        print(
            "usage: bekal_verify.py BUNDLE [--public-key HEX] [--receipt FILE] [--receipt-key HEX] [--json]",
            file=sys.stderr,
        )
        return 64
    try:
        with open(options["bundle"], "rb") as file:
            answer, commitment, key, leaves, outcomes = verify(file, options.get("--public-key"))
        if "--receipt" in options:
            with open(options["--receipt"], "rb") as file:
                receipt_key = options.get("--receipt-key", key)
                answer |= standing(file.read(), receipt_key, commitment, leaves, outcomes)
    except Invalid as invalid:
        answer = {"valid": False, "reason": invalid.reason, "detail": str(invalid)}
    except OSError as error:
        answer = {"valid": False, "reason": "IO", "detail": str(error)}
    if options["--json"]:
        print(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))
    else:
        print("VALID" if answer.pop("valid") else "NOT VALID", *(f"{k}: {v}" for k, v in answer.items()), sep="\n")
    return 1 if "reason" in answer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
