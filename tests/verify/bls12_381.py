"""BLS signatures on the curve BLS12-381 as drand's scheme `bls-unchained-g1-rfc9380` has them: signatures on G1,
public keys on G2. Verification only, from RFC 9380 and the mathematics, on the standard library.

A field element a + b·i of Fp² (i² = -1) is an `F2`; Fp is the part with b = 0. A point is (x, y), and `None` is the
point at infinity. G1 lies on y² = x³ + 4 over Fp, G2 on y² = x³ + 4(1 + i) over Fp²: one arithmetic serves both.
Fp¹² is Fp²[w] with w⁶ = 1 + i: a list of six `F2`, lowest power first.
"""

import hashlib

P = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
# The curve's parameter is -X; it gives P, the order R of both groups, and the length of the pairing's loop.
X = 0xD201000000010000
R = X**4 - X**2 + 1


class F2:
    """An element of Fp²."""

    __slots__ = ("re", "im")

    def __init__(self, re, im=0):
        self.re, self.im = re % P, im % P

    def __eq__(self, other):
        return self.re == other.re and self.im == other.im

    def __add__(self, other):
        return F2(self.re + other.re, self.im + other.im)

    def __sub__(self, other):
        return F2(self.re - other.re, self.im - other.im)

    def __mul__(self, other):
        return F2(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def inverse(self):
        norm = pow(self.re * self.re + self.im * self.im, -1, P)
        return F2(self.re * norm, -self.im * norm)

    def square_root(self):
        """Returns one of the roots, `None` if there is none."""
        norm_root = root(self.re * self.re + self.im * self.im)
        if norm_root is None:
            return None
        for sign in (1, -1):
            # (a + bi)² = self gives a² = (re ± |self|) / 2 and b = im / 2a; a = 0 leaves b² = -re.
            a = root((self.re + sign * norm_root) * pow(2, -1, P))
            if a is not None:
                found = F2(a, self.im * pow(2 * a, -1, P)) if a else F2(0, root(-self.re) or 0)
                if found * found == self:
                    return found
        return None


def root(square):
    """Returns a square root in Fp, `None` if there is none; P mod 4 = 3."""
    found = pow(square, (P + 1) // 4, P)
    return found if (found * found - square) % P == 0 else None


ZERO, ONE, THREE = F2(0), F2(1), F2(3)


# --- points ---


def slope(p, q):
    """Returns the slope of the line through p and q, the tangent's if they are equal, `None` if it is vertical."""
    (x1, y1), (x2, y2) = p, q
    if x1 != x2:
        return (y2 - y1) * (x2 - x1).inverse()
    if y1 != y2 or y1 == ZERO:
        return None
    return THREE * x1 * x1 * (y1 + y1).inverse()


def add(p, q):
    if p is None or q is None:
        return q if p is None else p
    gradient = slope(p, q)
    if gradient is None:
        return None
    x = gradient * gradient - p[0] - q[0]
    return (x, gradient * (p[0] - x) - p[1])


def multiply(scalar, point):
    product = None
    while scalar:
        if scalar & 1:
            product = add(product, point)
        point = add(point, point)
        scalar >>= 1
    return product


def negative(point):
    return (point[0], ZERO - point[1])


def decode(data, b):
    """Reads a compressed point of order R on y² = x³ + b; `None` for all else, also for the point at infinity."""
    compressed, infinity, larger = (bool(data[0] & bit) for bit in (0x80, 0x40, 0x20))
    raw = bytes([data[0] & 0x1F]) + data[1:]
    parts = [int.from_bytes(raw[i : i + 48], "big") for i in range(0, len(raw), 48)]
    if not compressed or infinity or max(parts) >= P:
        return None
    x = F2(*reversed(parts))
    y = (x * x * x + b).square_root()
    # Of G1 both coordinates are in Fp, where not every element has its root.
    if y is None or (len(parts) == 1 and y.im):
        return None
    if ((y.im or y.re) > P // 2) != larger:
        y = ZERO - y
    return (x, y) if multiply(R, (x, y)) is None else None


G1_B, G2_B = F2(4), F2(4, 4)
G2_GENERATOR = decode(
    bytes.fromhex(
        "93e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        "024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
    ),
    G2_B,
)


# --- the pairing ---


def product(a, b):
    """Multiplies in Fp¹²; w⁶ = 1 + i folds the upper half back."""
    re, im = [0] * 12, [0] * 12
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            re[i + j] += left.re * right.re - left.im * right.im
            im[i + j] += left.re * right.im + left.im * right.re
    return [F2(re[k] + re[k + 6] - im[k + 6], im[k] + im[k + 6] + re[k + 6]) for k in range(6)]


def line(s, t, p):
    """Returns the value at p of the line through s and t, which are brought from y² = x³ + 4(1 + i) to y² = x³ + 4
    by (x / w², y / w³). The factor w³ clears the denominators; it and vertical lines lie in fields that the final
    power takes to 1."""
    gradient = slope(s, t)
    return [gradient * s[0] - s[1], ZERO, ZERO - gradient * p[0], p[1], ZERO, ZERO]


def pairings_cancel(pairs):
    """Tells whether the product of the optimal ate pairings of (p, q) of order R, p on G1 and q on G2, is 1."""
    value, points = [ONE] + [ZERO] * 5, [q for _, q in pairs]
    for bit in bin(X)[3:]:
        value = product(value, value)
        for i, (p, q) in enumerate(pairs):
            value = product(value, line(points[i], points[i], p))
            points[i] = add(points[i], points[i])
            if bit == "1":
                value = product(value, line(points[i], q, p))
                points[i] = add(points[i], q)
    # The parameter's sign would invert the value, which does not matter for 1. The final power is (P¹² - 1) / R: the
    # power (P⁶ + 1) / R goes to 1 by the remaining P⁶ - 1 if and only if it is in Fp⁶, where w has even powers only.
    powered = [ONE] + [ZERO] * 5
    for bit in bin((P**6 + 1) // R)[2:]:
        powered = product(powered, powered)
        if bit == "1":
            powered = product(powered, value)
    return all(powered[i] == ZERO for i in (1, 3, 5))


# --- RFC 9380: BLS12381G1_XMD:SHA-256_SSWU_RO_ ---


def polynomial(text):
    return [int(word, 16) for word in text.split()]


# §8.8.1: the curve y² = x³ + Ax + B to which one maps first, and Z.
A = 0x144698A3B8E9433D693A02C96D4982B0EA985383EE66A8D8E8981AEFD881AC98936F8DA0E0F97F5CF428082D584C1D
B = 0x12E2908D11688030018B12E8753EEE3B2016C1F0F24F4070A0B9C14FCEF35EF55A23215A316CEAA5D1CC48E98E172BE0
Z = 11
# Appendix E.2: its isogeny of degree 11 to y² = x³ + 4, coefficients from the lowest power up.
X_NUMERATOR = polynomial(
    """
    11a05f2b1e833340b809101dd99815856b303e88a2d7005ff2627b56cdb4e2c85610c2d5f2e62d6eaeac1662734649b7
    17294ed3e943ab2f0588bab22147a81c7c17e75b2f6a8417f565e33c70d1e86b4838f2a6f318c356e834eef1b3cb83bb
    0d54005db97678ec1d1048c5d10a9a1bce032473295983e56878e501ec68e25c958c3e3d2a09729fe0179f9dac9edcb0
    1778e7166fcc6db74e0609d307e55412d7f5e4656a8dbf25f1b33289f1b330835336e25ce3107193c5b388641d9b6861
    0e99726a3199f4436642b4b3e4118e5499db995a1257fb3f086eeb65982fac18985a286f301e77c451154ce9ac8895d9
    1630c3250d7313ff01d1201bf7a74ab5db3cb17dd952799b9ed3ab9097e68f90a0870d2dcae73d19cd13c1c66f652983
    0d6ed6553fe44d296a3726c38ae652bfb11586264f0f8ce19008e218f9c86b2a8da25128c1052ecaddd7f225a139ed84
    17b81e7701abdbe2e8743884d1117e53356de5ab275b4db1a682c62ef0f2753339b7c8f8c8f475af9ccb5618e3f0c88e
    080d3cf1f9a78fc47b90b33563be990dc43b756ce79f5574a2c596c928c5d1de4fa295f296b74e956d71986a8497e317
    169b1f8e1bcfa7c42e0c37515d138f22dd2ecb803a0c5c99676314baf4bb1b7fa3190b2edc0327797f241067be390c9e
    10321da079ce07e272d8ec09d2565b0dfa7dccdde6787f96d50af36003b14866f69b771f8c285decca67df3f1605fb7b
    06e08c248e260e70bd1e962381edee3d31d79d7e22c837bc23c0bf1bc24c6b68c24b1b80b64d391fa9c8ba2e8ba2d229
    """
)
X_DENOMINATOR = polynomial(
    """
    08ca8d548cff19ae18b2e62f4bd3fa6f01d5ef4ba35b48ba9c9588617fc8ac62b558d681be343df8993cf9fa40d21b1c
    12561a5deb559c4348b4711298e536367041e8ca0cf0800c0126c2588c48bf5713daa8846cb026e9e5c8276ec82b3bff
    0b2962fe57a3225e8137e629bff2991f6f89416f5a718cd1fca64e00b11aceacd6a3d0967c94fedcfcc239ba5cb83e19
    03425581a58ae2fec83aafef7c40eb545b08243f16b1655154cca8abc28d6fd04976d5243eecf5c4130de8938dc62cd8
    13a8e162022914a80a6f1d5f43e7a07dffdfc759a12062bb8d6b44e833b306da9bd29ba81f35781d539d395b3532a21e
    0e7355f8e4e667b955390f7f0506c6e9395735e9ce9cad4d0a43bcef24b8982f7400d24bc4228f11c02df9a29f6304a5
    0772caacf16936190f3e0c63e0596721570f5799af53a1894e2e073062aede9cea73b3538f0de06cec2574496ee84a3a
    14a7ac2a9d64a8b230b3f5b074cf01996e7f63c21bca68a81996e1cdf9822c580fa5b9489d11e2d311f7d99bbdcc5a5e
    0a10ecf6ada54f825e920b3dafc7a3cce07f8d1d7161366b74100da67f39883503826692abba43704776ec3a79a1d641
    095fc13ab9e92ad4476d6e3eb3a56680f682b4ee96f7d03776df533978f31c1593174e4b4b7865002d6384d168ecdd0a
    1
    """
)
Y_NUMERATOR = polynomial(
    """
    090d97c81ba24ee0259d1f094980dcfa11ad138e48a869522b52af6c956543d3cd0c7aee9b3ba3c2be9845719707bb33
    134996a104ee5811d51036d776fb46831223e96c254f383d0f906343eb67ad34d6c56711962fa8bfe097e75a2e41c696
    00cc786baa966e66f4a384c86a3b49942552e2d658a31ce2c344be4b91400da7d26d521628b00523b8dfe240c72de1f6
    01f86376e8981c217898751ad8746757d42aa7b90eeb791c09e4a3ec03251cf9de405aba9ec61deca6355c77b0e5f4cb
    08cc03fdefe0ff135caf4fe2a21529c4195536fbe3ce50b879833fd221351adc2ee7f8dc099040a841b6daecf2e8fedb
    16603fca40634b6a2211e11db8f0a6a074a7d0d4afadb7bd76505c3d3ad5544e203f6326c95a807299b23ab13633a5f0
    04ab0b9bcfac1bbcb2c977d027796b3ce75bb8ca2be184cb5231413c4d634f3747a87ac2460f415ec961f8855fe9d6f2
    0987c8d5333ab86fde9926bd2ca6c674170a05bfe3bdd81ffd038da6c26c842642f64550fedfe935a15e4ca31870fb29
    09fc4018bd96684be88c9e221e4da1bb8f3abd16679dc26c1e8b6e6a1f20cabe69d65201c78607a360370e577bdba587
    0e1bba7a1186bdb5223abde7ada14a23c42a0ca7915af6fe06985e7ed1e4d43b9b3f7055dd4eba6f2bafaaebca731c30
    19713e47937cd1be0dfd0b8f1d43fb93cd2fcbcb6caf493fd1183e416389e61031bf3a5cce3fbafce813711ad011c132
    18b46a908f36f6deb918c143fed2edcc523559b8aaf0c2462e6bfe7f911f643249d9cdf41b44d606ce07c8a4d0074d8e
    0b182cac101b9399d155096004f53f447aa7b12a3426b08ec02710e807b4633f06c851c1919211f20d4c04f00b971ef8
    0245a394ad1eca9b72fc00ae7be315dc757b3b080d4c158013e6632d3c40659cc6cf90ad1c232a6442d9d3f5db980133
    05c129645e44cf1102a159f748c4a3fc5e673d81d7e86568d9ab0f5d396a7ce46ba1049b6579afb7866b1e715475224b
    15e6be4e990f03ce4ea50b3b42df2eb5cb181d8f84965a3957add4fa95af01b2b665027efec01c7704b456be69c8b604
    """
)
Y_DENOMINATOR = polynomial(
    """
    16112c4c3a9c98b252181140fad0eae9601a6de578980be6eec3232b5be72e7a07f3688ef60c206d01479253b03663c1
    1962d75c2381201e1a0cbd6c43c348b885c84ff731c4d59ca4a10356f453e01f78a4260763529e3532f6102c2e49a03d
    058df3306640da276faaae7d6e8eb15778c4855551ae7f310c35a5dd279cd2eca6757cd636f96f891e2538b53dbf67f2
    16b7d288798e5395f20d23bf89edb4d1d115c5dbddbcd30e123da489e726af41727364f2c28297ada8d26d98445f5416
    0be0e079545f43e4b00cc912f8228ddcc6d19c9f0f69bbb0542eda0fc9dec916a20b15dc0fd2ededda39142311a5001d
    08d9e5297186db2d9fb266eaac783182b70152c65550d881c5ecd87b6f0f5a6449f38db9dfa9cce202c6477faaf9b7ac
    166007c08a99db2fc3ba8734ace9824b5eecfdfa8d0cf8ef5dd365bc400a0051d5fa9c01a58b1fb93d1a1399126a775c
    16a3ef08be3ea7ea03bcddfabba6ff6ee5a4375efa1f4fd7feb34fd206357132b920f5b00801dee460ee415a15812ed9
    1866c8ed336c61231a1be54fd1d74cc4f9fb0ce4c6af5920abc5750c4bf39b4852cfe2f7bb9248836b233d9d55535d4a
    167a55cda70a6e1cea820597d94a84903216f763e13d87bb5308592e7ea7d4fbc7385ea3d529b35e346ef48bb8913f55
    04d2f259eea405bd48f010a01ad2911d9c6dd039bb61a6290e591b36e636a5c871a5c29f4f83060400f8b49cba8f6aa8
    0accbb67481d033ff5852c1e48c50c477f94ff8aefce42d28c0f9a88cea7913516f968986f7ebbea9684b529e2561092
    0ad6b9514c767fe3c3613144b45f1496543346d98adf02267d5ceef9a00d9b8693000763e3b90ac11e99b138573345cc
    02660400eb2e4f3b628bdd0d53cd76f2bf565b94e72927c1cb748df27942480e420517bd8714cc80d1fadc1326ed06f7
    0e0fa1d816ddc03e6b24255e0d7819c171c40f65e273b853324efcd6356caa205ca2f570f13497804415473a1d634b8f
    1
    """
)


def expand_message(message, tag, length):
    """§5.3.1, expand_message_xmd."""
    tag += bytes([len(tag)])
    first = hashlib.sha256(bytes(64) + message + length.to_bytes(2, "big") + b"\0" + tag).digest()
    block, out = bytes(32), b""
    for i in range(1, -(-length // 32) + 1):
        mixed = bytes(a ^ b for a, b in zip(first, block))
        block = hashlib.sha256(mixed + bytes([i]) + tag).digest()
        out += block
    return out[:length]


def map_to_curve(u):
    """§6.6.2 simplified SWU, then the isogeny of §6.6.3."""
    tail = (Z * Z * u**4 + Z * u * u) % P
    x = -B * pow(A, -1, P) * (1 + pow(tail, -1, P)) if tail else B * pow(Z * A, -1, P)
    y = root(x**3 + A * x + B)
    if y is None:
        x = Z * u * u * x
        y = root(x**3 + A * x + B)
    if y & 1 != u & 1:
        y = P - y

    def at_x(coefficients):
        return sum(coefficient * pow(x, i, P) for i, coefficient in enumerate(coefficients)) % P

    x_below, y_below = at_x(X_DENOMINATOR), at_x(Y_DENOMINATOR)
    if 0 in (x_below, y_below):
        return None
    return (F2(at_x(X_NUMERATOR) * pow(x_below, -1, P)), F2(y * at_x(Y_NUMERATOR) * pow(y_below, -1, P)))


def hash_to_curve(message, tag):
    """§3: two field elements, mapped and added; 1 + X clears the cofactor."""
    uniform = expand_message(message, tag, 128)
    u, v = (int.from_bytes(uniform[i : i + 64], "big") % P for i in (0, 64))
    return multiply(1 + X, add(map_to_curve(u), map_to_curve(v)))


# --- the signature ---


def key_is_valid(key):
    return decode(key, G2_B) is not None


def signature_holds(key, message, signature, tag=b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"):
    """Tells whether e(signature, generator) = e(H(message), key), all of the right order."""
    point, public = decode(signature, G1_B), decode(key, G2_B)
    if point is None or public is None:
        return False
    return pairings_cancel([(negative(point), G2_GENERATOR), (hash_to_curve(message, tag), public)])
