/* decoder_steps.c - what each decoder makes of a list of strings, in time linear in their length.
 * Source: Hugging Face tokenizers 0.23, decode_chain of each decoder.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "text/decoder/decoder.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

#define REPLACEMENT_CHARACTER "\xEF\xBF\xBD"

/* ---- Lists of strings ---- */

void tern__strings_clear(tern_strings *strings) { strings->n = strings->text.n_bytes = 0; }

void tern__strings_free(tern_strings *strings) {
    free(strings->text.data);
    free(strings->ends);
    *strings = (tern_strings){0};
}

tern_text tern__strings_get(const tern_strings *strings, size_t index) {
    size_t start = index > 0 ? strings->ends[index - 1] : 0, end = strings->ends[index];
    return (tern_text){.data = end > start ? strings->text.data + start : "", .bytes = end - start};
}

static void append(tern_strings *strings, const char *bytes, size_t n_bytes) { tern__text_append(&strings->text, bytes, n_bytes); }

/* What was appended since the last end is a string. */
static void end_string(tern_strings *strings) {
    if (strings->n == strings->capacity && !tern__grow(&strings->ends, &strings->capacity, strings->n + 1, sizeof *strings->ends)) {
        strings->text.has_failed = true;
        return;
    }
    strings->ends[strings->n++] = strings->text.n_bytes;
}

void tern__strings_add(tern_strings *strings, tern_text string) {
    append(strings, string.data, string.bytes);
    end_string(strings);
}

/* The string that is being appended. */
static char *open_string(tern_strings *strings, size_t *n_bytes) {
    size_t start = strings->n > 0 ? strings->ends[strings->n - 1] : 0;
    *n_bytes = strings->text.n_bytes - start;
    return *n_bytes > 0 ? strings->text.data + start : NULL;
}

/* ---- Replacing ---- */

static bool starts_with(tern_text text, size_t at, tern_text prefix) {
    return text.bytes - at >= prefix.bytes && memcmp(text.data + at, prefix.data, prefix.bytes) == 0;
}

/* An empty `from` is before every character and at the end. */
static void append_replaced(tern_strings *out, tern_text text, tern_text from, tern_text to) {
    size_t kept = 0; /* what is before is appended */
    for (size_t i = 0; i < text.bytes;) {
        bool is_start = !tern__utf8_is_continuation((unsigned char)text.data[i]);
        if (from.bytes == 0 ? !is_start : !starts_with(text, i, from)) {
            const char *next = from.bytes ? memchr(text.data + i + 1, from.data[0], text.bytes - i - 1) : text.data + i + 1;
            i = next ? (size_t)(next - text.data) : text.bytes;
            continue;
        }
        append(out, text.data + kept, i - kept);
        append(out, to.data, to.bytes);
        kept = i;
        i += from.bytes ? from.bytes : 1;
        if (from.bytes) kept = i;
    }
    append(out, text.data + kept, text.bytes - kept);
    if (from.bytes == 0) append(out, to.data, to.bytes);
}

/* Replace every `from` by `to`, which is not longer, from the left; returns the new length. */
static size_t replace_in_place(char *text, size_t n_bytes, const char *from, const char *to) {
    size_t n_from = strlen(from), n_to = strlen(to), written = 0;
    for (size_t i = 0; i < n_bytes;) {
        if (n_bytes - i >= n_from && memcmp(text + i, from, n_from) == 0) {
            memcpy(text + written, to, n_to);
            written += n_to;
            i += n_from;
        } else {
            text[written++] = text[i++];
        }
    }
    return written;
}

/* The rules run one after the other over the string that is being appended. */
static void clean_up(tern_strings *out) {
    static const char *const rules[][2] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    size_t n_bytes;
    char *text = open_string(out, &n_bytes);
    if (out->text.has_failed || !text || !memchr(text, ' ', n_bytes)) return;
    size_t n_after = n_bytes;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) n_after = replace_in_place(text, n_after, rules[i][0], rules[i][1]);
    out->text.n_bytes -= n_bytes - n_after;
}

static tern_status replace_pattern(tern_strings *out, tern_text text, const tern_decoder_step *step, tern_error *err) {
    tern_pattern_search search;
    TERN_TRY(tern__pattern_search_start(&search, step->pattern, (const unsigned char *)text.data, text.bytes, err));
    size_t kept = 0, start, end;
    bool is_found;
    tern_status status;
    while ((status = tern__pattern_search_next(&search, &start, &end, &is_found, err)) == TERN_OK && is_found) {
        append(out, text.data + kept, start - kept);
        append(out, step->to.data, step->to.bytes);
        kept = end;
    }
    tern__pattern_search_end(&search);
    append(out, text.data + kept, text.bytes - kept);
    return status;
}

/* ---- One string of one string ---- */

static void decode_wordpiece(tern_strings *out, tern_text token, const tern_decoder_step *step, bool is_first) {
    size_t skipped = 0;
    if (!is_first && starts_with(token, 0, step->from)) skipped = step->from.bytes;
    else if (!is_first) append(out, " ", 1);
    append(out, token.data + skipped, token.bytes - skipped);
    if (step->cleanup) clean_up(out);
}

/* Characters are cut off each end while they are `from`. Where both ends want the same characters, nothing is left. */
static void decode_strip(tern_strings *out, tern_text token, const tern_decoder_step *step) {
    size_t n = step->from.bytes, start = 0, stop = token.bytes;
    for (size_t i = 0; i < step->start && starts_with(token, start, step->from); i++) start += n;
    for (size_t i = 0; i < step->stop && stop >= n && starts_with(token, stop - n, step->from); i++) stop -= n;
    if (start < stop) append(out, token.data + start, stop - start);
}

/* A pad token, or what is left of a token without pad tokens. False when that is nothing. */
static bool decode_ctc(tern_strings *out, tern_strings *scratch, tern_text token, const tern_decoder_step *step) {
    static const tern_text nothing = {.data = "", .bytes = 0};
    size_t n_bytes;
    append_replaced(out, token, step->from, nothing);
    if (step->cleanup) {
        clean_up(out);
        char *cleaned = open_string(out, &n_bytes);
        tern__strings_clear(scratch);
        tern__strings_add(scratch, (tern_text){.data = cleaned ? cleaned : "", .bytes = n_bytes});
        if (scratch->text.has_failed) out->text.has_failed = true;
        if (out->text.has_failed) return false;
        out->text.n_bytes -= n_bytes;
        append_replaced(out, tern__strings_get(scratch, 0), step->to, (tern_text){.data = " ", .bytes = 1});
    }
    open_string(out, &n_bytes);
    return n_bytes > 0;
}

/* ---- Bytes ---- */

/* Bytes of the longest prefix that some well-formed text begins with, at least 1; the prefix itself is not well-formed. */
static size_t broken_prefix(const unsigned char *bytes, size_t n_bytes) {
    unsigned char low = 0x80, high = 0xBF, first = bytes[0];
    size_t length = first >= 0xC2 && first < 0xE0 ? 2 : first >= 0xE0 && first < 0xF0 ? 3 : first >= 0xF0 && first < 0xF5 ? 4 : 1;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
    for (size_t i = 1; i < length; i++) {
        if (i == n_bytes || bytes[i] < low || bytes[i] > high) return i;
        low = 0x80;
        high = 0xBF;
    }
    return 1;
}

/* What is not UTF-8 becomes U+FFFD, one for each broken prefix of a character. */
static void append_lossy(tern_strings *out, tern_text text) {
    const unsigned char *bytes = (const unsigned char *)text.data;
    for (size_t at = 0; at < text.bytes;) {
        size_t n_valid = tern__utf8_valid_prefix(bytes + at, text.bytes - at);
        append(out, text.data + at, n_valid);
        at += n_valid;
        if (at == text.bytes) break;
        append(out, REPLACEMENT_CHARACTER, 3);
        at += broken_prefix(bytes + at, text.bytes - at);
    }
}

/* A token that has a character for no byte stays as it is. */
static void append_bytes_of(tern_strings *out, tern_text token) {
    const unsigned char *text = (const unsigned char *)token.data;
    size_t before = out->text.n_bytes;
    for (size_t at = 0, length; at < token.bytes; at += length) {
        int byte = tern__byte_level_byte(tern__utf8_decode(text + at, &length));
        if (byte < 0) {
            if (!out->text.has_failed) out->text.n_bytes = before;
            append(out, token.data, token.bytes);
            return;
        }
        append(out, &(char){(char)byte}, 1);
    }
}

static void decode_byte_level(tern_strings *out, tern_strings *scratch, const tern_strings *in) {
    tern__strings_clear(scratch);
    for (size_t i = 0; i < in->n; i++) append_bytes_of(scratch, tern__strings_get(in, i));
    end_string(scratch);
    if (scratch->text.has_failed) out->text.has_failed = true;
    else append_lossy(out, tern__strings_get(scratch, 0));
    end_string(out);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte of "<0x0A>", also of "<0x+A>"; -1: none. */
static int byte_of(tern_text token) {
    if (token.bytes != 6 || memcmp(token.data, "<0x", 3) != 0 || token.data[5] != '>') return -1;
    int high = token.data[3] == '+' ? 0 : hex_digit(token.data[3]), low = hex_digit(token.data[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* Bytes that follow each other become a string, or where they are not UTF-8 a U+FFFD each. */
static void flush_bytes(tern_strings *out, tern_strings *bytes) {
    size_t n = bytes->text.n_bytes;
    if (bytes->text.has_failed) out->text.has_failed = true;
    if (n == 0 || out->text.has_failed) return;
    if (tern__utf8_valid_prefix((const unsigned char *)bytes->text.data, n) == n) {
        tern__strings_add(out, (tern_text){.data = bytes->text.data, .bytes = n});
    } else {
        for (size_t i = 0; i < n; i++) tern__strings_add(out, (tern_text){.data = REPLACEMENT_CHARACTER, .bytes = 3});
    }
    tern__strings_clear(bytes);
}

static void decode_byte_fallback(tern_strings *out, tern_strings *scratch, const tern_strings *in) {
    for (size_t i = 0; i < in->n; i++) {
        tern_text token = tern__strings_get(in, i);
        int byte = byte_of(token);
        if (byte >= 0) {
            append(scratch, &(char){(char)byte}, 1);
        } else {
            flush_bytes(out, scratch);
            tern__strings_add(out, token);
        }
    }
    flush_bytes(out, scratch);
}

/* ---- A step ---- */

static bool is_repeated(const tern_strings *in, size_t i) {
    if (i == 0) return false;
    tern_text token = tern__strings_get(in, i), before = tern__strings_get(in, i - 1);
    return token.bytes == before.bytes && memcmp(token.data, before.data, token.bytes) == 0;
}

/* Steps that take one string after the other. */
static tern_status run_on_each(tern_strings *out, tern_strings *scratch, const tern_strings *in, const tern_decoder_step *step,
                               tern_error *err) {
    static const tern_text space = {.data = " ", .bytes = 1}, nothing = {.data = "", .bytes = 0};
    for (size_t i = 0; i < in->n; i++) {
        tern_text token = tern__strings_get(in, i);
        switch (step->kind) {
        case TERN_DECODER_WORDPIECE:
            decode_wordpiece(out, token, step, i == 0);
            break;
        case TERN_DECODER_METASPACE:
            append_replaced(out, token, step->from, i == 0 && step->drops_first ? nothing : space);
            break;
        case TERN_DECODER_BPE:
            append_replaced(out, token, step->from, i + 1 == in->n ? nothing : space);
            break;
        case TERN_DECODER_STRIP:
            decode_strip(out, token, step);
            break;
        case TERN_DECODER_REPLACE:
            if (step->pattern) TERN_TRY(replace_pattern(out, token, step, err));
            else if (token.bytes > 0) append_replaced(out, token, step->from, step->to);
            break;
        case TERN_DECODER_CTC:
            if (is_repeated(in, i) || !decode_ctc(out, scratch, token, step)) continue;
            break;
        default: /* these take the strings together */
            break;
        }
        end_string(out);
    }
    return TERN_OK;
}

tern_status tern__decoder_step_run(tern_strings *out, const tern_strings *in, const tern_decoder_step *step, tern_error *err) {
    tern_strings scratch = {0};
    tern_status status = TERN_OK;
    switch (step->kind) {
    case TERN_DECODER_BYTE_LEVEL:
        decode_byte_level(out, &scratch, in);
        break;
    case TERN_DECODER_BYTE_FALLBACK:
        decode_byte_fallback(out, &scratch, in);
        break;
    case TERN_DECODER_FUSE:
        append(out, in->text.data, in->text.n_bytes);
        end_string(out);
        break;
    default:
        status = run_on_each(out, &scratch, in, step, err);
        break;
    }
    tern__strings_free(&scratch);
    return status;
}
