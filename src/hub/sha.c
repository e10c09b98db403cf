/* sha.c - SHA-1 and SHA-256, one block of 64 bytes at a time. They tell a damaged file from a whole one; SHA-1 is what git names its
 * files by and proves no more than that.
 * source: FIPS 180-4, Secure Hash Standard
 * SPDX-License-Identifier: Apache-2.0 */
#include "hub/sha.h"

#include <string.h>

static uint32_t rotate_left(uint32_t x, int n) { return x << n | x >> (32 - n); }

static uint32_t rotate_right(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t load_big_endian(const unsigned char *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Section 6.1.2. */
static void sha_1_block(uint32_t state[8], const unsigned char *block) {
    uint32_t w[80];
    for (int t = 0; t < 16; t++) w[t] = load_big_endian(block + 4 * t);
    for (int t = 16; t < 80; t++) w[t] = rotate_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int t = 0; t < 80; t++) {
        uint32_t f, k;
        if (t < 20) f = (b & c) | (~b & d), k = 0x5a827999;
        else if (t < 40) f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (t < 60) f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t next = rotate_left(a, 5) + f + e + k + w[t];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* Section 4.2.2: fractional parts of the cube roots of the first 64 primes. */
static const uint32_t sha_256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* One round of section 6.2.2 with the eight words where they stand: the caller turns the names instead of moving the words. */
#define SHA_256_ROUND(a, b, c, d, e, f, g, h, t)                                                                                           \
    do {                                                                                                                                   \
        uint32_t t1_ =                                                                                                                     \
            h + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) + (g ^ (e & (f ^ g))) + sha_256_constants[t] + w[t];      \
        d += t1_;                                                                                                                          \
        h = t1_ + (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) + ((a & b) | (c & (a | b)));                            \
    } while (0)

static void sha_256_block(uint32_t state[8], const unsigned char *block) {
    uint32_t w[64];
    for (int t = 0; t < 16; t++) w[t] = load_big_endian(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotate_right(w[t - 15], 7) ^ rotate_right(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate_right(w[t - 2], 17) ^ rotate_right(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < 64; t += 8) {
        SHA_256_ROUND(a, b, c, d, e, f, g, h, t);
        SHA_256_ROUND(h, a, b, c, d, e, f, g, t + 1);
        SHA_256_ROUND(g, h, a, b, c, d, e, f, t + 2);
        SHA_256_ROUND(f, g, h, a, b, c, d, e, t + 3);
        SHA_256_ROUND(e, f, g, h, a, b, c, d, t + 4);
        SHA_256_ROUND(d, e, f, g, h, a, b, c, t + 5);
        SHA_256_ROUND(c, d, e, f, g, h, a, b, t + 6);
        SHA_256_ROUND(b, c, d, e, f, g, h, a, t + 7);
    }
    const uint32_t sums[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) state[i] += sums[i];
}

void tern__sha_start(tern_sha *sha, tern_sha_kind kind) {
    static const uint32_t starts[2][8] = {
        {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0},
        {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
    };
    *sha = (tern_sha){.kind = kind};
    memcpy(sha->state, starts[kind], sizeof sha->state);
}

static void add_block(tern_sha *sha, const unsigned char *block) {
    if (sha->kind == TERN_SHA_1) sha_1_block(sha->state, block);
    else sha_256_block(sha->state, block);
}

void tern__sha_add(tern_sha *sha, const void *bytes, size_t n_bytes) {
    const unsigned char *at = bytes;
    size_t n_held = (size_t)(sha->n_bytes % sizeof sha->block);
    sha->n_bytes += n_bytes;
    if (n_held > 0) {
        size_t n = sizeof sha->block - n_held < n_bytes ? sizeof sha->block - n_held : n_bytes;
        memcpy(sha->block + n_held, at, n);
        at += n;
        n_bytes -= n;
        if (n_held + n < sizeof sha->block) return;
        add_block(sha, sha->block);
    }
    for (; n_bytes >= sizeof sha->block; at += sizeof sha->block, n_bytes -= sizeof sha->block) add_block(sha, at);
    if (n_bytes > 0) memcpy(sha->block, at, n_bytes);
}

/* Section 5.1.1: a bit 1, zeros, and the length in bits, to a multiple of 64 bytes. */
void tern__sha_finish(tern_sha *sha, char hex[TERN_SHA_HEX_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    unsigned char padding[72] = {0x80};
    size_t n_zeros = (size_t)((119 - sha->n_bytes % 64) % 64);
    uint64_t n_bits = sha->n_bytes * 8;
    for (int i = 0; i < 8; i++) padding[1 + n_zeros + (size_t)i] = (unsigned char)(n_bits >> (56 - 8 * i));
    tern__sha_add(sha, padding, 1 + n_zeros + 8);
    int n_digits = sha->kind == TERN_SHA_1 ? 40 : 64;
    for (int i = 0; i < n_digits; i++) hex[i] = digits[sha->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[n_digits] = '\0';
}
