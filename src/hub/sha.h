/* sha.h - SHA-1 and SHA-256 of bytes that arrive in pieces: the names that the hub gives to files.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_HUB_SHA_H
#define TERN_HUB_SHA_H

#include <stddef.h>
#include <stdint.h>

typedef enum tern_sha_kind { TERN_SHA_1, TERN_SHA_256 } tern_sha_kind;

typedef struct tern_sha {
    tern_sha_kind kind;
    uint32_t state[8];
    uint64_t n_bytes;
    unsigned char block[64]; /* the n_bytes % 64 bytes that do not fill a block yet */
} tern_sha;

#define TERN_SHA_HEX_BYTES 65 /* of the longer digest, with its NUL */

void tern__sha_start(tern_sha *sha, tern_sha_kind kind);
void tern__sha_add(tern_sha *sha, const void *bytes, size_t n_bytes);
/* The digest in lower-case hexadecimal digits: 40 of SHA-1, 64 of SHA-256. */
void tern__sha_finish(tern_sha *sha, char hex[TERN_SHA_HEX_BYTES]);

#endif
