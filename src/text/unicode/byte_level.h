/* byte_level.h - GPT-2's table, which shows each byte as one printable character: the space as U+0120, the newline as U+010A.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_BYTE_LEVEL_H
#define TERN_TEXT_BYTE_LEVEL_H

#include <stdint.h>

/* The code point that stands for a byte: below U+0144, so one or two bytes of UTF-8. */
uint32_t tern__byte_level_character(unsigned char byte);
/* The byte that a code point stands for; -1 when none. */
int tern__byte_level_byte(uint32_t code_point);

#endif
