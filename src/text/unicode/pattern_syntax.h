/* pattern_syntax.h - a regular expression as Oniguruma reads it, as one that PCRE2 reads the same.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TERN_TEXT_PATTERN_SYNTAX_H
#define TERN_TEXT_PATTERN_SYNTAX_H

#include "base/text_builder.h"
#include "text/json_fields.h"

/* `regex` for PCRE2 with PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, newline LF, added to `out`.
 * errors: TERN_E_FORMAT: no regular expression; TERN_E_UNSUPPORTED: names the construct that PCRE2 does not have; TERN_E_MEMORY */
tern_status tern__pattern_translate(tern_text_builder *out, tern_text regex, tern_json_place place, tern_error *err);

#endif
