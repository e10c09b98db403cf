/* character_class.c - the tables of character_class_data.inc.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/pre_tokenizer/character_class.h"

#include "text/pre_tokenizer/character_class_data.inc"

_Static_assert(CLASS_BLOCK == TERN_CHARACTER_BLOCK, "the blocks of character_class_data.inc are those of character_class.h");
