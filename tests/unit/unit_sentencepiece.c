/* unit_sentencepiece.c - the protobuf of SentencePiece models: what is read, what is skipped, what is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "spm_writer.h"
#include "text/files/piece_tables.h"

static tern_status read_model(tern_sentencepiece *model, const spm_writer *file, tern_error *err) {
    return tern__sentencepiece_read(model, file->bytes, file->n, "x.model", err);
}

static void check_text(tern_text text, const char *wanted) {
    assert_int_equal(text.bytes, strlen(wanted));
    assert_memory_equal(text.data, wanted, text.bytes);
}

static void check_piece(const tern_piece *piece, const char *text, float score, tern_piece_kind kind) {
    check_text((tern_text){.data = piece->text, .bytes = piece->n_bytes}, text);
    assert_true(piece->score == score);
    assert_int_equal(piece->kind, kind);
}

static void test_fields(void **state) {
    (void)state;
    spm_writer file = {.n = 0}, spec = {.n = 0};
    tern_sentencepiece model;
    tern_error err;
    spm_put_piece(&file, "<unk>", 0, SPM_UNKNOWN);
    spm_put_piece(&file, "caf\xC3\xA9", -1.25F, SPM_NORMAL);
    spm_put_piece(&file, "<x>", -0.5F, SPM_USER_DEFINED);
    spm_put_piece(&file, "<0x41>", 0, SPM_BYTE);
    spm_put_piece(&file, "odd", 0, 77); /* a kind that nobody knows */
    spm_put_number(&spec, 3, SPM_BPE);
    spm_put_number(&spec, 35, 1);
    spm_put_number(&spec, 40, 2);
    spm_put_number(&spec, 41, (uint64_t)-1);
    spm_put_number(&spec, 42, 7);
    spm_put_text(&spec, 45, "[UNK]");
    spm_put_text(&spec, 46, "[BOS]");
    spm_put_text(&spec, 47, "[EOS]");
    spm_put_bytes(&file, 2, spec.bytes, spec.n);
    spec.n = 0;
    spm_put_text(&spec, 1, "nmt_nfkc");
    spm_put_bytes(&spec, 2, "\x00\xFF\x01", 3);
    spm_put_bytes(&file, 3, spec.bytes, spec.n);
    assert_int_equal(read_model(&model, &file, &err), TERN_OK);
    assert_int_equal(model.n_pieces, 5);
    check_piece(&model.pieces[0], "<unk>", 0, TERN_PIECE_UNKNOWN);
    check_piece(&model.pieces[1], "caf\xC3\xA9", -1.25F, TERN_PIECE_NORMAL);
    check_piece(&model.pieces[2], "<x>", -0.5F, TERN_PIECE_USER_DEFINED);
    check_piece(&model.pieces[3], "<0x41>", 0, TERN_PIECE_BYTE);
    check_piece(&model.pieces[4], "odd", 0, TERN_PIECE_NORMAL);
    assert_false(model.is_unigram);
    assert_true(model.byte_fallback);
    assert_int_equal(model.unk_id, 2);
    assert_int_equal(model.bos_id, -1);
    assert_int_equal(model.eos_id, 7);
    check_text(model.unk_piece, "[UNK]");
    check_text(model.bos_piece, "[BOS]");
    check_text(model.eos_piece, "[EOS]");
    assert_int_equal(model.charsmap.bytes, 3);
    assert_memory_equal(model.charsmap.data, "\x00\xFF\x01", 3);
    tern__sentencepiece_free(&model);
}

static void test_defaults(void **state) {
    (void)state;
    spm_writer file = {.n = 0};
    tern_sentencepiece model;
    tern_error err;
    spm_put_bytes(&file, 1,
                  "\x0A\x01"
                  "a",
                  3); /* only a text */
    assert_int_equal(read_model(&model, &file, &err), TERN_OK);
    check_piece(&model.pieces[0], "a", 0, TERN_PIECE_NORMAL);
    assert_true(model.is_unigram);
    assert_false(model.byte_fallback);
    assert_int_equal(model.unk_id, 0);
    assert_int_equal(model.bos_id, 1);
    assert_int_equal(model.eos_id, 2);
    check_text(model.unk_piece, "<unk>");
    check_text(model.bos_piece, "<s>");
    check_text(model.eos_piece, "</s>");
    assert_int_equal(model.charsmap.bytes, 0);
    tern__sentencepiece_free(&model);
}

/* Fields that nobody asked for, of every wire type; known numbers with another type; the last of several values. */
static void test_skipped_fields(void **state) {
    (void)state;
    static const char odd[] = "\x78\x96\x01"                         /* 15, varint */
                              "\x79\x01\x02\x03\x04\x05\x06\x07\x08" /* 15, 8 bytes */
                              "\x7A\x03"
                              "abc"                  /* 15, bytes */
                              "\x7D\x01\x02\x03\x04" /* 15, 4 bytes */
                              "\x08\x05"
                              "\x10\x05"
                              "\x1D"
                              "abcd"                      /* pieces, trainer and normalizer as what they are not */
                              "\xF8\xFF\xFF\xFF\x0F\x00"; /* the largest number */
    spm_writer file = {.n = 0}, piece = {.n = 0}, spec = {.n = 0};
    tern_sentencepiece model;
    tern_error err;
    spm_put(&file, odd, sizeof odd - 1);
    spm_put(&piece,
            "\x7A\x03"
            "abc",
            5);
    spm_put_number(&piece, 3, SPM_CONTROL);
    spm_put_float(&piece, 2, 5);
    spm_put_text(&piece, 1, "first");
    spm_put_float(&piece, 2, -7);
    spm_put_text(&piece, 1, "last");
    spm_put_number(&piece, 2, 9); /* the score is no varint */
    spm_put_bytes(&file, 1, piece.bytes, piece.n);
    spm_put_number(&spec, 40, 3);
    spm_put_text(&spec, 40, "no number");
    spm_put_number(&spec, 45, 1);
    spm_put_number(&spec, 3, 9); /* no kind of model */
    spm_put_bytes(&file, 2, spec.bytes, spec.n);
    spm_put(&file, odd, sizeof odd - 1);
    spm_put_trainer(&file, SPM_BPE, 4, 1); /* a second spec adds to the first */
    assert_int_equal(read_model(&model, &file, &err), TERN_OK);
    assert_int_equal(model.n_pieces, 1);
    check_piece(&model.pieces[0], "last", -7, TERN_PIECE_CONTROL);
    assert_false(model.is_unigram);
    assert_int_equal(model.unk_id, 4);
    check_text(model.unk_piece, "<unk>");
    tern__sentencepiece_free(&model);
}

#define BYTES(literal) literal, sizeof(literal) - 1

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *message;
    } cases[] = {
        {BYTES(""), "byte 0: there are no pieces"},
        {BYTES("\x78\x01"), "byte 2: there are no pieces"},
        {BYTES("\x0A"), "byte 1: a number without an end"},
        {BYTES("\x0A\x80\x80"), "byte 1: a number without an end"},
        {BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "byte 1: a number of more than 10 bytes"},
        {BYTES("\x0A\x04\x0A\x01"
               "a"),
         "byte 0: a field goes beyond the end"},
        {BYTES("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"), "byte 0: a field goes beyond the end"},
        {BYTES("\x0A\x80\x80\x80\x80\x08"), "byte 0: a field goes beyond the end"}, /* 2 GB */
        {BYTES("\x0A\x03\x0A\x02"
               "ab"),
         "byte 2: a field goes beyond the end"}, /* of the piece, not of the file */
        {BYTES("\x0A\x02\x15\x00\x00\x00"), "byte 3: a number without an end"},
        {BYTES("\x79\x00\x00"), "byte 1: a number without an end"},
        {BYTES("\x02\x00"), "byte 0: no field has that number"},
        {BYTES("\xFA\xFF\xFF\xFF\x1F\x00"), "byte 0: no field has that number"},
        {BYTES("\x0B\x0C"), "byte 0: a field of a kind that is not read"},
        {BYTES("\x0C"), "byte 0: a field of a kind that is not read"},
        {BYTES("\x0E"), "byte 0: a field of a kind that is not read"},
        {BYTES("\x0F"), "byte 0: a field of a kind that is not read"},
        {BYTES("\x0A\x00"), "byte 2: a piece without text"},
        {BYTES("\x0A\x02\x0A\x00"), "byte 2: a piece without text"},
        {BYTES("\x0A\x04\x0A\x02"
               "a\xFF"),
         "byte 5: not UTF-8"},
        {BYTES("\x12\x04\xEA\x02\x01\xC3"), "byte 5: not UTF-8"},
        {BYTES("{\"model\": {}}"), "byte 0: a field of a kind that is not read"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spm_writer file = {.n = 0};
        tern_sentencepiece model;
        tern_error err;
        spm_put(&file, cases[i].bytes, cases[i].n);
        tern_status status = read_model(&model, &file, &err);
        check_failed(status, TERN_E_FORMAT, &err, cases[i].message);
        check_failed(status, TERN_E_FORMAT, &err, "x.model: byte");
        tern__sentencepiece_free(&model);
    }
    tern_sentencepiece model;
    tern_error err;
    tern_status status = tern__sentencepiece_read(&model, NULL, TERN_SENTENCEPIECE_MAX_BYTES + 1, "x.model", &err);
    check_failed(status, TERN_E_FORMAT, &err, "SentencePiece models of at most");
}

static void test_longest_piece(void **state) {
    (void)state;
    char text[TERN_SENTENCEPIECE_MAX_PIECE + 2];
    for (size_t n = TERN_SENTENCEPIECE_MAX_PIECE; n <= TERN_SENTENCEPIECE_MAX_PIECE + 1; n++) {
        spm_writer file = {.n = 0};
        tern_sentencepiece model;
        tern_error err;
        memset(text, 'a', n);
        text[n] = '\0';
        spm_put_piece(&file, text, 0, SPM_NORMAL);
        const tern_status status = read_model(&model, &file, &err);
        if (n == TERN_SENTENCEPIECE_MAX_PIECE) assert_int_equal(model.pieces[0].n_bytes, n);
        else check_failed(status, TERN_E_UNSUPPORTED, &err, "byte 3: a piece of 1025 bytes; at most 1024 are supported");
        tern__sentencepiece_free(&model);
    }
}

/* A file that was cut anywhere: never read beyond its end, and good only where it was cut between fields. */
static void test_every_cut(void **state) {
    (void)state;
    spm_writer file = {.n = 0};
    spm_put_small_model(&file, SPM_UNIGRAM);
    size_t n_good = 0;
    for (size_t n = 0; n <= file.n; n++) {
        unsigned char *copy = malloc(n ? n : 1);
        tern_sentencepiece model;
        tern_error err;
        assert_non_null(copy);
        memcpy(copy, file.bytes, n);
        n_good += tern__sentencepiece_read(&model, copy, n, "x.model", &err) == TERN_OK;
        tern__sentencepiece_free(&model);
        free(copy);
    }
    assert_int_equal(n_good, 9); /* behind each of 8 pieces, and whole */
}

/* ---- Tables ---- */

/* All pairs that make a piece, by its id, the shorter left part first; of equal pieces the last counts. */
static void test_merges(void **state) {
    (void)state;
    static const char *const pieces[] = {"abc",
                                         "a",
                                         "b",
                                         "c",
                                         "ab",
                                         "bc",
                                         "\xC3\xA9",
                                         "\xC3\xA9"
                                         "a",
                                         "b"};
    static const char *const wanted[] = {"a bc", "ab c", "a b", "b c", "\xC3\xA9 a"};
    spm_writer file = {.n = 0};
    tern_sentencepiece model;
    tern_model_tables tables = {0};
    tern_error err;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) spm_put_piece(&file, pieces[i], 0, SPM_NORMAL);
    assert_int_equal(read_model(&model, &file, &err), TERN_OK);
    assert_int_equal(tern__pieces_to_bpe(&tables, &model, &err), TERN_OK);
    assert_int_equal(tables.vocabulary.n_entries, 8);
    assert_int_equal(tern__vocabulary_find(&tables.vocabulary, "b", 1)->id, 8);
    assert_int_equal(tables.n_merges, sizeof wanted / sizeof *wanted);
    for (size_t i = 0; i < tables.n_merges; i++) {
        const tern_merge *merge = &tables.merges[i];
        char text[32];
        snprintf(text, sizeof text, "%.*s %.*s", (int)merge->left_bytes, tables.merge_strings + merge->start, (int)merge->right_bytes,
                 tables.merge_strings + merge->start + merge->left_bytes);
        assert_string_equal(text, wanted[i]);
    }
    const tern_text first[] = {{.data = "x", .bytes = 1}, {.data = "c", .bytes = 1}};
    static const char *const order[] = {"x",
                                        "c",
                                        "abc",
                                        "a",
                                        "b",
                                        "ab",
                                        "bc",
                                        "\xC3\xA9",
                                        "\xC3\xA9"
                                        "a"};
    assert_int_equal(tern__pieces_renumber(&tables.vocabulary, &model, first, 2, &err), TERN_OK);
    assert_int_equal(tables.vocabulary.n_entries, sizeof order / sizeof *order);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        assert_int_equal(tern__vocabulary_find(&tables.vocabulary, order[i], strlen(order[i]))->id, i);
    tern__model_tables_free(&tables);
    tern__sentencepiece_free(&model);
}

static void test_pieces(void **state) {
    (void)state;
    spm_writer file = {.n = 0};
    tern_sentencepiece model;
    tern_model_tables tables = {0};
    tern_error err;
    spm_put_piece(&file, "u", -1, SPM_NORMAL);
    spm_put_piece(&file, "u", 0, SPM_NORMAL);
    spm_put_piece(&file, "v", 0.5F, SPM_NORMAL);
    assert_int_equal(read_model(&model, &file, &err), TERN_OK);
    assert_int_equal(tern__pieces_add_text(&tables, (tern_text){.data = "t", .bytes = 1}, -100, &err), TERN_OK);
    assert_int_equal(tern__pieces_add(&tables, &model, 1, &err), TERN_OK);
    assert_int_equal(tern__pieces_add(&tables, &model, 0, &err), TERN_OK);
    static const double scores[] = {-100, 0, 0.5, -1, 0, 0.5};
    assert_int_equal(tables.n_scores, 6);
    for (size_t i = 0; i < 6; i++) assert_true(tables.scores[i] == scores[i]);
    const tern_text u = {.data = "u", .bytes = 1}, t = {.data = "t", .bytes = 1};
    assert_int_equal(tern__pieces_first(&tables, u, false, 9), 1);
    assert_int_equal(tern__pieces_first(&tables, t, false, 9), 0);
    assert_int_equal(tern__pieces_first(&tables, t, true, 9), 9);
    tern__model_tables_free(&tables);
    tern__sentencepiece_free(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),  cmocka_unit_test(test_defaults),      cmocka_unit_test(test_skipped_fields),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_longest_piece), cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_merges),  cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
