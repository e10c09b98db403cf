/* byte_level.c - bytes that are printable in Latin-1 stand for themselves; the other 68 take the code points from U+0100 on, in order.
 * Source: Radford et al. 2019, GPT-2's encoder, bytes_to_unicode.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/byte_level.h"

/* Bytes that do not stand for themselves: 0 ... 32, 127 ... 160 and 173. */
uint32_t tern__byte_level_character(unsigned char byte) {
    if (byte <= 32) return 256u + byte;
    if (byte >= 127 && byte <= 160) return 256u + 33 + (byte - 127u);
    if (byte == 173) return 256 + 67;
    return byte;
}

int tern__byte_level_byte(uint32_t c) {
    if (c < 256) return tern__byte_level_character((unsigned char)c) == c ? (int)c : -1;
    if (c <= 256 + 32) return (int)(c - 256);
    if (c < 256 + 67) return (int)(c - 256 - 33 + 127);
    return c == 256 + 67 ? 173 : -1;
}
