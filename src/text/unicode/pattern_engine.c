/* pattern_engine.c - PCRE2: compiled to machine code where that can be, searches bounded.
 * Source: PCRE2's manual, pcre2api(3), pcre2jit(3).
 * SPDX-License-Identifier: Apache-2.0 */
#include "text/unicode/pattern_engine.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* What one search may cost before it is given up: steps of backtracking, KiB of memory for them. */
#define MATCH_STEPS  10000000
#define MATCH_MEMORY (256 * 1024)

struct tern_engine {
    pcre2_code *code;
    pcre2_match_context *limits;
    bool is_short_of_memory; /* an allocation failed while the code was made */
};

static void *code_malloc(size_t bytes, void *engine) {
    void *block = malloc(bytes);
    if (!block) ((tern_engine *)engine)->is_short_of_memory = true;
    return block;
}

static void code_free(void *block, void *engine) {
    (void)engine;
    free(block);
}

void tern__engine_free(tern_engine *engine) {
    if (!engine) return;
    pcre2_code_free(engine->code);
    pcre2_match_context_free(engine->limits);
    free(engine);
}

/* PCRE2's words for an error of its own. */
static const char *error_words(int code, PCRE2_UCHAR words[200]) {
    if (pcre2_get_error_message(code, words, 200) < 0) words[0] = '\0';
    return (const char *)words;
}

tern_status tern__engine_new(tern_engine **out, const char *pattern, tern_error *err) {
    *out = NULL;
    tern_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return TERN_FAIL_MEMORY(err, sizeof *engine);
    int code = 0;
    PCRE2_SIZE offset = 0;
    pcre2_general_context *general = pcre2_general_context_create(code_malloc, code_free, engine);
    pcre2_compile_context *compiling = general ? pcre2_compile_context_create(general) : NULL;
    engine->limits = general ? pcre2_match_context_create(general) : NULL;
    if (compiling && engine->limits) {
        pcre2_set_newline(compiling, PCRE2_NEWLINE_LF);
        pcre2_set_bsr(compiling, PCRE2_BSR_UNICODE);
        pcre2_set_match_limit(engine->limits, MATCH_STEPS);
        pcre2_set_heap_limit(engine->limits, MATCH_MEMORY);
        engine->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &code, &offset, compiling);
        /* Without JIT, which a system may forbid, searching is slower. JIT of PCRE2 10.42 goes back into atomic groups: (?>b+|b)b finds bb
         * in bbb. */
        if (engine->code && !strstr(pattern, "(?>")) pcre2_jit_compile(engine->code, PCRE2_JIT_COMPLETE);
    }
    pcre2_compile_context_free(compiling);
    pcre2_general_context_free(general);
    PCRE2_UCHAR words[200];
    tern_status status = TERN_OK;
    if (engine->is_short_of_memory) status = TERN_FAIL_MEMORY(err, strlen(pattern));
    else if (!engine->code)
        status = TERN_FAIL(err, TERN_E_UNSUPPORTED, "PCRE2 refuses the pattern: %s (at byte %zu of \"%.200s\")", error_words(code, words),
                           offset, pattern);
    if (status != TERN_OK) return tern__engine_free(engine), status;
    *out = engine;
    return TERN_OK;
}

void *tern__engine_scratch_new(void) { return pcre2_match_data_create(1, NULL); }

void tern__engine_scratch_free(void *scratch) { pcre2_match_data_free(scratch); }

tern_status tern__engine_find(const tern_engine *engine, void *scratch, const unsigned char *text, size_t n_bytes, size_t at, size_t *start,
                              size_t *end, bool *is_found, tern_error *err) {
    int result = pcre2_match(engine->code, text, n_bytes, at, PCRE2_NO_UTF_CHECK, scratch, engine->limits);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter has more room */
        result = pcre2_match(engine->code, text, n_bytes, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, scratch, engine->limits);
    *is_found = result >= 0;
    if (result >= 0) {
        *start = pcre2_get_ovector_pointer(scratch)[0];
        *end = pcre2_get_ovector_pointer(scratch)[1];
        return TERN_OK;
    }
    PCRE2_UCHAR words[200];
    if (result == PCRE2_ERROR_NOMATCH) return TERN_OK;
    if (result == PCRE2_ERROR_NOMEMORY) return TERN_FAIL_MEMORY(err, n_bytes);
    return TERN_FAIL(err, TERN_E_UNSUPPORTED, "the tokenizer's pattern cannot be matched in a text of %zu bytes: %s", n_bytes,
                     error_words(result, words));
}
