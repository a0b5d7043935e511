#!/usr/bin/env python3
"""Vectors for `bls12_381`: those of RFC 9380, appendix J.9.1, and published rounds of drand's quicknet."""

import hashlib
import unittest

import bls12_381 as bls

RFC_TAG = b"QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_"
RFC_POINTS = [
    (
        b"",
        "052926add2207b76ca4fa57a8734416c8dc95e24501772c814278700eed6d1e4e8cf62d9c09db0fac349612b759e79a1",
        "08ba738453bfed09cb546dbb0783dbb3a5f1f566ed67bb6be0e8c67e2e81a4cc68ee29813bb7994998f3eae0c9c6a265",
    ),
    (
        b"abc",
        "03567bc5ef9c690c2ab2ecdf6a96ef1c139cc0b2f284dca0a9a7943388a49a3aee664ba5379a7655d3c68900be2f6903",
        "0b9c15f3fe6e5cf4211f346271d7b01c8f3b28be689c8429c85b67af215533311f0b8dfaaa154fa6b88176c229f2885d",
    ),
    (
        b"abcdef0123456789",
        "11e0b079dea29a68f0383ee94fed1b940995272407e3bb916bbf268c263ddd57a6a27200a784cbc248e84f357ce82d98",
        "03a87ae2caf14e8ee52e51fa2ed8eefe80f02457004ba4d486d6aa1f517c0889501dc7413753f9599b099ebcbbd2d709",
    ),
    (
        b"q128_" + b"q" * 128,
        "15f68eaa693b95ccb85215dc65fa81038d69629f70aeee0d0f677cf22285e7bf58d7cb86eefe8f2e9bc3f8cb84fac488",
        "1807a1d50c29f430b8cafc4f8638dfeeadf51211e1602a5f184443076715f91bb90a48ba1e370edce6ae1062f5e6dd38",
    ),
    (
        b"a512_" + b"a" * 512,
        "082aabae8b7dedb0e78aeb619ad3bfd9277a2f77ba7fad20ef6aabdc6c31d19ba5a6d12283553294c1825c4b3ca2dcfe",
        "05b84ae5a942248eea39e1d91030458c40153f3b654ab7872d779ad1e942856a20c438e8d99bc8abfbf74729ce1f7ac8",
    ),
]
QUICKNET = bytes.fromhex(
    "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c"
    "8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb"
    "5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"
)
ROUNDS = {
    123: "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92",
    1000: "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39",
    12040883: "929906c959032ab363c9f26570d215d66f5c06cb0c44fe508c12bb5839f04ec895bb6868e5b9ff13ab289bdb5266b394",
}
SMALL_ORDER = (bls.F2(0), bls.F2(2))


def encode(point):
    x, y = point
    raw = x.re.to_bytes(48, "big")
    return bytes([raw[0] | 0x80 | (0x20 if y.re > bls.P // 2 else 0)]) + raw[1:]


def holds(number, signature, key=QUICKNET):
    return bls.signature_holds(key, hashlib.sha256(number.to_bytes(8, "big")).digest(), signature)


class Vectors(unittest.TestCase):
    def test_messages_hash_to_the_points_of_the_rfc(self):
        for message, x, y in RFC_POINTS:
            point = bls.hash_to_curve(message, RFC_TAG)
            self.assertEqual((point[0].re, point[1].re), (int(x, 16), int(y, 16)))

    def test_published_rounds_hold_and_others_do_not(self):
        for number, signature in ROUNDS.items():
            self.assertTrue(holds(number, bytes.fromhex(signature)))
        self.assertFalse(holds(1001, bytes.fromhex(ROUNDS[1000])))

    def test_points_outside_the_group_are_refused(self):
        signature = bytes.fromhex(ROUNDS[1000])
        point = bls.decode(signature, bls.G1_B)
        self.assertEqual(encode(point), signature)
        self.assertIsNone(bls.multiply(3, SMALL_ORDER))
        self.assertFalse(holds(1000, encode(bls.add(point, SMALL_ORDER))))
        self.assertFalse(holds(1000, bytes([0xC0]) + bytes(47)))
        self.assertFalse(holds(1000, signature, bytes([0xC0]) + bytes(95)))

    def test_the_pairing_is_linear_in_both_points(self):
        point = bls.hash_to_curve(b"point", RFC_TAG)
        for left, right, expected in ((6, (2, 3), True), (7, (2, 3), False)):
            pairs = [
                (bls.negative(bls.multiply(left, point)), bls.G2_GENERATOR),
                (bls.multiply(right[0], point), bls.multiply(right[1], bls.G2_GENERATOR)),
            ]
            self.assertEqual(bls.pairings_cancel(pairs), expected)

    def test_square_roots_are_found_exactly_of_squares(self):
        for re, im in ((4, 0), (bls.P - 4, 0), (0, 2), (3, 5), (7, bls.P - 11)):
            value = bls.F2(re, im)
            square = value * value
            self.assertTrue(square.square_root() in (value, bls.ZERO - value))
        # 1 + i is no square, else w would not extend the field.
        self.assertIsNone(bls.F2(1, 1).square_root())


if __name__ == "__main__":
    unittest.main()
