/* bpe_merge.c - a word into tokens. A short word merges in a small array, the strongest pair sought anew each time; a long one with a heap
 * of pairs, in n log n. Long words are first cut where no merge can join.
 * Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"; Hugging Face tokenizers, BPE.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/memory.h"
#include "text/model/bpe.h"
#include "text/unicode/byte_level.h"
#include "text/unicode/unicode.h"

#define NONE        UINT32_MAX
#define SHORT_WORD  32 /* symbols */
#define SPLIT_BYTES 32 /* words that are longer are cut before they are merged */

/* A word on its way. */
typedef struct tern_bpe_run {
    const tern_bpe *bpe;
    tern_model_scratch *scratch;
    tern_token_list *out;
    const unsigned char *bytes;
    tern_span word;
    uint32_t position;  /* in the word: where the next token starts. Not where its bytes are when something was dropped before */
    uint32_t unk_bytes; /* of an unknown token that has not been added yet, since the next may be part of it; 0: none */
    size_t n_symbols;
    tern_error *err;
} tern_bpe_run;

/* ---- Characters ---- */

/* Room is there. */
static inline void add_symbol(tern_bpe_run *run, int32_t id, uint32_t n_bytes) {
    tern_bpe_symbol *symbol = &run->scratch->symbols[run->n_symbols++];
    symbol->id = id;
    symbol->n_bytes = n_bytes;
}

static inline void flush_unk(tern_bpe_run *run) {
    if (run->unk_bytes == 0) return;
    add_symbol(run, run->bpe->unk.id, run->unk_bytes);
    run->unk_bytes = 0;
}

/* A character with its prefix and suffix, in scratch->text; false when memory is short. */
static bool decorate(tern_bpe_run *run, const unsigned char *character, size_t n_bytes, bool with_prefix, bool with_suffix,
                     size_t *n_text) {
    const tern_bpe *bpe = run->bpe;
    size_t n_prefix = with_prefix ? bpe->prefix_bytes : 0, n_suffix = with_suffix ? bpe->suffix_bytes : 0;
    *n_text = n_prefix + n_bytes + n_suffix;
    if (!tern__grow(&run->scratch->text, &run->scratch->text_capacity, *n_text, 1)) return false;
    char *text = run->scratch->text;
    if (n_prefix) memcpy(text, bpe->prefix, n_prefix);
    memcpy(text + n_prefix, character, n_bytes);
    if (n_suffix) memcpy(text + n_prefix + n_bytes, bpe->suffix, n_suffix);
    return true;
}

/* A character that has no token: its bytes' tokens, else the unknown token, else nothing. */
static tern_status add_unknown(tern_bpe_run *run, const unsigned char *text, size_t n_text, uint32_t n_bytes) {
    const tern_bpe *bpe = run->bpe;
    bool has_bytes = bpe->byte_fallback;
    for (size_t i = 0; has_bytes && i < n_text; i++) has_bytes = bpe->fallback_ids[text[i]] >= 0;
    if (has_bytes) { /* an unknown token from before still comes later, as in Hugging Face's library */
        for (size_t i = 0; i < n_text; i++) add_symbol(run, bpe->fallback_ids[text[i]], 1);
        return TERN_OK;
    }
    if (!bpe->unk.text) return TERN_OK;
    if (bpe->unk.id < 0) return tern__unk_token_fail(&bpe->unk, run->err);
    if (!bpe->fuse_unk) flush_unk(run);
    run->unk_bytes += n_bytes;
    return TERN_OK;
}

static tern_status add_character(tern_bpe_run *run, uint32_t at, size_t n_bytes) {
    const tern_bpe *bpe = run->bpe;
    const unsigned char *text = run->bytes + at;
    bool is_inner = at != run->word.start, is_last = at + n_bytes == run->word.end;
    size_t n_text = n_bytes;
    int32_t id = -1;
    if (n_bytes == 1) id = bpe->single_ids[is_inner | is_last << 1][text[0]];
    if (id < 0 && ((is_inner && bpe->prefix_bytes) || (is_last && bpe->suffix_bytes))) {
        if (!decorate(run, text, n_bytes, is_inner, is_last, &n_text)) return TERN_FAIL_MEMORY(run->err, n_text);
        text = (const unsigned char *)run->scratch->text;
    }
    if (id < 0 && n_bytes > 1) {
        const tern_vocabulary_entry *entry = tern__vocabulary_find(bpe->vocabulary, (const char *)text, n_text);
        if (entry) id = entry->id;
    }
    if (id < 0) return add_unknown(run, text, n_text, (uint32_t)n_bytes);
    flush_unk(run);
    add_symbol(run, id, (uint32_t)n_bytes);
    return TERN_OK;
}

/* Room for the symbols of so many bytes, and for what they become. */
static tern_status reserve(tern_bpe_run *run, size_t n_bytes) {
    const tern_bpe *bpe = run->bpe;
    size_t needed = n_bytes;
    bool fits = !bpe->byte_fallback ||
                (tern__size_multiply(n_bytes, bpe->prefix_bytes + 1, &needed) && tern__size_add(needed, bpe->suffix_bytes, &needed));
    if (!fits || !tern__size_add(needed, 1, &needed) || needed >= NONE / 2 ||
        !tern__grow(&run->scratch->symbols, &run->scratch->symbols_capacity, needed < SHORT_WORD ? SHORT_WORD : needed,
                    sizeof *run->scratch->symbols) ||
        (run->out->capacity - run->out->n < needed && !tern__token_list_reserve(run->out, needed)))
        return TERN_FAIL_MEMORY(run->err, n_bytes);
    return TERN_OK;
}

/* Bytes [start, end) of the word as symbols; an unknown token at the end waits. */
static tern_status add_characters(tern_bpe_run *run, uint32_t start, uint32_t end) {
    run->n_symbols = 0;
    TERN_TRY(reserve(run, end - start));
    if (run->bpe->takes_bytes) {
        for (uint32_t at = start; at < end; at++)
            add_symbol(run, run->bpe->single_ids[(at != run->word.start) | (at + 1 == run->word.end) << 1][run->bytes[at]], 1);
        return TERN_OK;
    }
    size_t n_bytes;
    for (uint32_t at = start; at < end; at += (uint32_t)n_bytes) {
        tern__utf8_decode(run->bytes + at, &n_bytes);
        TERN_TRY(add_character(run, at, n_bytes));
    }
    return TERN_OK;
}

/* ---- Merging ---- */

static inline uint32_t pair_rank(const tern_bpe *bpe, int32_t left, int32_t right, int32_t *id) {
    const tern_bpe_merge *merge = tern__bpe_find_merge(bpe, left, right);
    *id = merge ? merge->id : -1;
    return merge ? merge->rank : NONE;
}

/* Returns how many symbols are left. */
static size_t merge_short(const tern_bpe *bpe, tern_bpe_symbol *symbols, size_t n) {
    uint32_t ranks[SHORT_WORD]; /* of symbols i and i + 1 */
    int32_t ids[SHORT_WORD];
    for (size_t i = 0; i + 1 < n; i++) ranks[i] = pair_rank(bpe, symbols[i].id, symbols[i + 1].id, &ids[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == NONE) break;
        symbols[best].id = ids[best];
        symbols[best].n_bytes += symbols[best + 1].n_bytes;
        n--;
        for (size_t i = best + 1; i < n; i++) {
            symbols[i] = symbols[i + 1];
            ranks[i] = ranks[i + 1];
            ids[i] = ids[i + 1];
        }
        if (best > 0) ranks[best - 1] = pair_rank(bpe, symbols[best - 1].id, symbols[best].id, &ids[best - 1]);
        if (best + 1 < n) ranks[best] = pair_rank(bpe, symbols[best].id, symbols[best + 1].id, &ids[best]);
    }
    return n;
}

/* A heap of ranks << 32 | positions, the smallest first. */
static void sift_down(uint64_t *heap, size_t n, size_t at) {
    uint64_t value = heap[at];
    for (size_t child; (child = at * 2 + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= value) break;
        heap[at] = heap[child];
    }
    heap[at] = value;
}

static void sift_up(uint64_t *heap, size_t at) {
    uint64_t value = heap[at];
    for (; at > 0 && heap[(at - 1) / 2] > value; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
    heap[at] = value;
}

static size_t push_pair(const tern_bpe *bpe, uint64_t *heap, size_t n, const tern_bpe_symbol *symbols, uint32_t left) {
    const tern_bpe_merge *merge = tern__bpe_find_merge(bpe, symbols[left].id, symbols[symbols[left].next].id);
    if (!merge) return n;
    heap[n] = (uint64_t)merge->rank << 32 | left;
    sift_up(heap, n);
    return n + 1;
}

/* The pair that stands at `left` becomes `id`. */
static void join(tern_bpe_symbol *symbols, uint32_t left, int32_t id) {
    tern_bpe_symbol *right = &symbols[symbols[left].next];
    symbols[left].id = id;
    symbols[left].n_bytes += right->n_bytes;
    symbols[left].next = right->next;
    if (right->next != NONE) symbols[right->next].previous = left;
    right->n_bytes = 0;
}

/* A pair in the heap may have changed since; it counts as long as the two that stand there now become the same token, as in Hugging Face's
 * library. *n: how many symbols are left. */
static tern_status merge_long(tern_bpe_run *run, size_t *n) {
    const tern_bpe *bpe = run->bpe;
    tern_bpe_symbol *symbols = run->scratch->symbols;
    size_t n_symbols = *n, n_heap = 0, n_left = 0;
    if (!tern__grow(&run->scratch->heap, &run->scratch->heap_capacity, n_symbols * 2, sizeof *run->scratch->heap))
        return TERN_FAIL_MEMORY(run->err, n_symbols * 2 * sizeof *run->scratch->heap);
    uint64_t *heap = run->scratch->heap;
    for (size_t i = 0; i < n_symbols; i++) {
        symbols[i].previous = i > 0 ? (uint32_t)i - 1 : NONE;
        symbols[i].next = i + 1 < n_symbols ? (uint32_t)i + 1 : NONE;
    }
    for (size_t i = 0; i + 1 < n_symbols; i++) n_heap = push_pair(bpe, heap, n_heap, symbols, (uint32_t)i);
    while (n_heap > 0) {
        uint32_t left = (uint32_t)heap[0], rank = (uint32_t)(heap[0] >> 32);
        heap[0] = heap[--n_heap];
        if (n_heap > 0) sift_down(heap, n_heap, 0);
        if (symbols[left].n_bytes == 0 || symbols[left].next == NONE) continue;
        const tern_bpe_merge *merge = tern__bpe_find_merge(bpe, symbols[left].id, symbols[symbols[left].next].id);
        if (!merge || merge->id != bpe->id_of_rank[rank]) continue;
        join(symbols, left, merge->id);
        if (symbols[left].previous != NONE) n_heap = push_pair(bpe, heap, n_heap, symbols, symbols[left].previous);
        if (symbols[left].next != NONE) n_heap = push_pair(bpe, heap, n_heap, symbols, left);
    }
    for (size_t i = 0; i < n_symbols; i++)
        if (symbols[i].n_bytes != 0) symbols[n_left++] = symbols[i];
    *n = n_left;
    return TERN_OK;
}

/* ---- Words ---- */

static void push_token(tern_bpe_run *run, int32_t id, uint32_t n_bytes) {
    uint32_t length = run->word.end - run->word.start;
    uint32_t start = run->position < length ? run->position : length - 1;
    run->position = n_bytes < length - start ? start + n_bytes : length;
    tern__token_list_push(run->out, id, run->word.start + start, run->word.start + run->position);
}

static tern_status merge_symbols(tern_bpe_run *run) {
    size_t n = run->n_symbols;
    if (n <= SHORT_WORD && !run->bpe->needs_heap) n = merge_short(run->bpe, run->scratch->symbols, n);
    else TERN_TRY(merge_long(run, &n));
    for (size_t i = 0; i < n; i++) push_token(run, run->scratch->symbols[i].id, run->scratch->symbols[i].n_bytes);
    return TERN_OK;
}

/* A part of a word that is cut at junctions. */
static tern_status merge_part(tern_bpe_run *run, uint32_t start, uint32_t end) {
    const tern_bpe *bpe = run->bpe;
    if (end - start <= TERN_WORD_MAX && !bpe->ignore_merges) {
        int32_t id = tern__word_table_find(&bpe->words, tern__word_key(run->bytes + start, end - start));
        if (id >= 0) {
            TERN_TRY(reserve(run, 2));
            if (run->unk_bytes) push_token(run, bpe->unk.id, run->unk_bytes);
            run->unk_bytes = 0;
            push_token(run, id, end - start);
            return TERN_OK;
        }
    }
    TERN_TRY(add_characters(run, start, end));
    return merge_symbols(run);
}

static tern_status merge_parts(tern_bpe_run *run) {
    const tern_bpe *bpe = run->bpe;
    uint32_t start = run->word.start, last = 0;
    size_t n_bytes = 1;
    for (uint32_t at = start; at < run->word.end; at += (uint32_t)n_bytes) {
        uint32_t character = bpe->takes_bytes ? run->bytes[at] : tern__utf8_decode(run->bytes + at, &n_bytes);
        unsigned junction = tern__bpe_junction(last, character);
        if (at > start && !(bpe->junctions[junction / 64] >> junction % 64 & 1)) {
            TERN_TRY(merge_part(run, start, at));
            start = at;
        }
        last = character;
    }
    return merge_part(run, start, run->word.end);
}

/* The token that the word is; -1 when it is none. Its bytes are shown as GPT-2's characters first. */
static tern_status find_word(tern_bpe_run *run, int32_t *id) {
    const char *word = (const char *)run->bytes + run->word.start;
    size_t n_bytes = run->word.end - run->word.start;
    if (run->bpe->takes_bytes) {
        if (!tern__grow(&run->scratch->text, &run->scratch->text_capacity, n_bytes * 2, 1)) return TERN_FAIL_MEMORY(run->err, n_bytes * 2);
        size_t n_text = 0;
        for (size_t i = 0; i < n_bytes; i++)
            n_text += tern__utf8_encode((unsigned char *)run->scratch->text + n_text, tern__byte_level_character((unsigned char)word[i]));
        word = run->scratch->text;
        n_bytes = n_text;
    }
    const tern_vocabulary_entry *entry = tern__vocabulary_find(run->bpe->vocabulary, word, n_bytes);
    *id = entry ? entry->id : -1;
    return TERN_OK;
}

tern_status tern__bpe_merge_word(const tern_bpe *bpe, tern_model_scratch *scratch, tern_token_list *out, const unsigned char *bytes,
                                 tern_span word, tern_error *err) {
    tern_bpe_run run = {.bpe = bpe, .scratch = scratch, .out = out, .bytes = bytes, .word = word, .err = err};
    uint32_t n_bytes = word.end - word.start;
    if (bpe->ignore_merges && n_bytes > TERN_WORD_MAX && n_bytes <= bpe->vocabulary->longest_bytes) { /* shorter ones are in the table */
        int32_t id = -1;
        TERN_TRY(find_word(&run, &id));
        if (id >= 0) {
            TERN_TRY(reserve(&run, 1));
            push_token(&run, id, n_bytes);
            return TERN_OK;
        }
    }
    if (bpe->can_split && n_bytes > SPLIT_BYTES) {
        TERN_TRY(merge_parts(&run));
        TERN_TRY(reserve(&run, 1));
        run.n_symbols = 0;
        flush_unk(&run);
    } else {
        TERN_TRY(add_characters(&run, word.start, word.end));
        flush_unk(&run);
    }
    return merge_symbols(&run);
}

tern_status tern__bpe_tokenize(const tern_bpe *bpe, tern_model_scratch *scratch, tern_token_list *out, const unsigned char *bytes,
                               const tern_spans *spans, tern_error *err) {
    size_t expected; /* about what prose needs */
    if (!tern__size_add(spans->n, spans->n / 4 + 16, &expected) || !tern__token_list_reserve(out, expected))
        return TERN_FAIL_MEMORY(err, expected * 12);
    for (size_t i = 0; i < spans->n; i++) {
        tern_span word = spans->items[i];
        uint32_t n_bytes = word.end - word.start;
        if (n_bytes <= TERN_WORD_MAX) {
            int32_t id = tern__word_table_find(&bpe->words, tern__word_key(bytes + word.start, n_bytes));
            if (id >= 0) {
                if (out->n == out->capacity && !tern__token_list_reserve(out, 1)) return TERN_FAIL_MEMORY(err, 12);
                tern__token_list_push(out, id, word.start, word.end);
                continue;
            }
        }
        TERN_TRY(tern__bpe_merge_word(bpe, scratch, out, bytes, word, err));
    }
    return TERN_OK;
}
