/* unit_pickle.c - the pickle reader: what each opcode makes, what is refused with which message, and that no pickle costs more than its
 * bytes. SPDX-License-Identifier: Apache-2.0 */
#include "temporary_folder.h"

#include "store/pickle.h"
#include "store/state_dict.h"

/* A pickle in memory of exactly its size, so that ASan sees a read behind it. */
typedef struct test_pickle {
    tern_pickle pickle;
    tern_error err;
    unsigned char *copy;
} test_pickle;

static tern_status run(test_pickle *test, tern_value *out, const unsigned char *bytes, size_t n_bytes) {
    test->copy = malloc(n_bytes ? n_bytes : 1);
    assert_non_null(test->copy);
    memcpy(test->copy, bytes, n_bytes);
    test->pickle = (tern_pickle){.bytes = test->copy, .n_bytes = n_bytes, .name = "weights", .err = &test->err};
    return tern__pickle_run(&test->pickle, out);
}

static void finish(test_pickle *test) {
    tern__pickle_free(&test->pickle);
    free(test->copy);
}

static tern_value run_checked(test_pickle *test, const unsigned char *bytes, size_t n_bytes) {
    tern_value value;
    if (run(test, &value, bytes, n_bytes) != TERN_OK) fail_msg("%s", test->err.message);
    assert_int_equal(test->pickle.at, n_bytes);
    return value;
}

static void check_refused(const unsigned char *bytes, size_t n_bytes, tern_status code, const char *message) {
    test_pickle test;
    tern_value value;
    check_failed(run(&test, &value, bytes, n_bytes), code, &test.err, message);
    assert_true(strncmp(test.err.message, "weights: byte ", 14) == 0);
    assert_true(test.pickle.used_memory <= TERN_PICKLE_MAX_MEMORY);
    finish(&test);
}

/* ---- Values ---- */

static void test_scalars(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n_bytes;
        tern_value_kind kind;
        int64_t integer;
    } cases[] = {
#define CASE(literal, kind, integer) {literal, sizeof(literal) - 1, TERN_VALUE_##kind, integer}
        CASE("N.", NONE, 0),
        CASE("\x80\x02\x88.", BOOL, 1),
        CASE("\x89.", BOOL, 0),
        CASE("I01\n.", BOOL, 1),
        CASE("I00\n.", BOOL, 0),
        CASE("I-12\n.", INT, -12),
        CASE("L999999999999999999L\n.", INT, 999999999999999999),
        CASE("L-7L\n.", INT, -7),
        CASE("L1999999999999999999L\n.", LONG, 0),
        CASE("K\xFF.", INT, 255),
        CASE("M\xFF\xFE.", INT, 0xFEFF),
        CASE("J\xFE\xFF\xFF\xFF.", INT, -2),
        CASE("J\x01\x00\x00\x40.", INT, 0x40000001),
        CASE("\x8A\x00.", INT, 0),
        CASE("\x8A\x01\xFF.", INT, -1),
        CASE("\x8A\x05\x00\x00\x00\x00\x01.", INT, 0x100000000),
        CASE("\x8A\x08\x00\x00\x00\x00\x00\x00\x00\x80.", INT, INT64_MIN),
        CASE("\x8A\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00.", LONG, 0),
        CASE("\x8B\x02\x00\x00\x00\x00\x01.", INT, 256),
        CASE("G\x3F\xF0\x00\x00\x00\x00\x00\x00.", FLOAT, 0),
        CASE("U\x01s.", STRING, 0),
        CASE("T\x01\x00\x00\x00s.", STRING, 0),
        CASE("X\x00\x00\x00\x00.", STRING, 0),
        CASE("\x8C\x01s.", STRING, 0),
        CASE("\x8D\x01\x00\x00\x00\x00\x00\x00\x00s.", STRING, 0),
        CASE("C\x01s.", BYTES, 0),
        CASE("B\x01\x00\x00\x00s.", BYTES, 0),
        CASE("\x8E\x01\x00\x00\x00\x00\x00\x00\x00s.", BYTES, 0),
        CASE("\x96\x01\x00\x00\x00\x00\x00\x00\x00s.", BYTES, 0),
        CASE("\x80\x05\x95\x02\x00\x00\x00\x00\x00\x00\x00N.", NONE, 0),
        CASE("NK\x01"
             "0.",
             NONE, 0),
        CASE("N(0.", NONE, 0),
        CASE("N(K\x01K\x02"
             "1.",
             NONE, 0),
        CASE("c_codecs\nencode\nX\x01\x00\x00\x00sX\x06\x00\x00\x00latin1\x86R.", BYTES, 0),
        CASE("ctorch\nfloat16\n.", GLOBAL, 0),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_pickle test;
        const tern_value value = run_checked(&test, (const unsigned char *)cases[i].bytes, cases[i].n_bytes);
        if (value.kind != cases[i].kind) fail_msg("case %zu is %s", i, tern__value_kind_name(value.kind));
        if (value.kind == TERN_VALUE_INT || value.kind == TERN_VALUE_BOOL) assert_int_equal(value.integer, cases[i].integer);
        finish(&test);
    }
}

static void test_containers(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n_bytes;
        tern_value_kind kind;
        size_t n;
    } cases[] = {
#define CASE(literal, kind, n) {literal, sizeof(literal) - 1, TERN_VALUE_##kind, n}
        CASE(").", TUPLE, 0),
        CASE("].", LIST, 0),
        CASE("}.", DICT, 0),
        CASE("\x8F.", SET, 0),
        CASE("N\x85.", TUPLE, 1),
        CASE("NN\x86.", TUPLE, 2),
        CASE("NNN\x87.", TUPLE, 3),
        CASE("(NNNNt.", TUPLE, 4),
        CASE("(NNl.", LIST, 2),
        CASE("]Na.", LIST, 1),
        CASE("](NNNe.", LIST, 3),
        CASE("](e.", LIST, 0),
        CASE("(NNNNd.", DICT, 4),
        CASE("}NNs.", DICT, 2),
        CASE("}(NNNNu.", DICT, 4),
        CASE("\x8F(NN\x90.", SET, 2),
        CASE("(N\x91.", SET, 1),
        CASE("ccollections\nOrderedDict\n)R.", DICT, 0),
        CASE("ccollections\nOrderedDict\n](](K\x01Ne](K\x02NeeX\x00\x00\x00\x00\x30\x85R.", DICT, 4), /* of Python 2 */
        CASE("ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00mNsb.", DICT, 0),
        CASE("\x8C\x0B"
             "collections\x94\x8C\x0BOrderedDict\x94\x93\x94)R\x94.",
             DICT, 0),
        CASE("ctorch\nSize\nK\x01K\x02\x86\x85R.", TUPLE, 2),
        CASE("]q\x00h\x00\x86.", TUPLE, 2),
        CASE("]q\x01"
             "0h\x01.",
             LIST, 0), /* Python 2 counts the memo from 1 */
        CASE("]q\x00h\x00"
             "a.",
             LIST, 1), /* a list that holds itself */
        CASE("]r\x00\x00\x00\x00j\x00\x00\x00\x00\x86.", TUPLE, 2),
        CASE("]\x94N\x94"
             "00h\x00.",
             LIST, 0),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_pickle test;
        const tern_value value = run_checked(&test, (const unsigned char *)cases[i].bytes, cases[i].n_bytes);
        if (value.kind != cases[i].kind || value.list->n != cases[i].n)
            fail_msg("case %zu is %s of %zu", i, tern__value_kind_name(value.kind), value.list->n);
        finish(&test);
    }
}

/* A tensor of storage "0", which has 6 elements: F32, offset, size and stride as given. */
#define STORAGE(type, n)                                                                                                                   \
    "(X\x07\x00\x00\x00storagectorch\n" type "\nX\x01\x00\x00\x00"                                                                         \
    "0X\x03\x00\x00\x00"                                                                                                                   \
    "cpuK" n "tQ"
#define REBUILD(parts)                                                                                                                     \
    "ctorch._utils\n_rebuild_tensor_v2\n(" parts "\x89"                                                                                    \
    "ccollections\nOrderedDict\n)RtR"
#define TENSOR(offset, axes) REBUILD(STORAGE("FloatStorage", "\x06") offset axes)

static void test_tensors(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n_bytes;
        tern_dtype dtype;
        size_t offset;
        int rank;
        int64_t first_size;
    } cases[] = {
#define CASE(literal, dtype, offset, rank, first) {literal ".", sizeof(literal), TERN_DTYPE_##dtype, offset, rank, first}
        CASE(TENSOR("K\x00", "K\x02K\x03\x86K\x03K\x01\x86"), F32, 0, 2, 2),
        CASE(TENSOR("K\x05", "))"), F32, 5, 0, 0),
        CASE(TENSOR("K\x00", "K\x06\x85K\x01\x85"), F32, 0, 1, 6),
        CASE(TENSOR("K\x00", "M\xFF\xFF\x85K\x00\x85"), F32, 0, 1, 65535),
        CASE(TENSOR("M\xFF\xFF", "K\x00K\x09\x86K\x01K\x01\x86"), F32, 65535, 2, 0), /* empty: it needs no element */
        CASE(TENSOR("K\x00", "ctorch\nSize\nK\x01\x85\x85RK\x01\x85"), F32, 0, 1, 1),
        CASE(TENSOR("K\x00", "(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x06t(K\x06K\x06K\x06K\x06K\x06K\x06K\x06K\x01t"), F32, 0, 8, 1),
        CASE(REBUILD(STORAGE("BFloat16Storage", "\x01") "K\x00))"), BF16, 0, 0, 0),
        CASE(REBUILD(STORAGE("BoolStorage", "\x01") "K\x00))"), BOOL, 0, 0, 0),
        CASE("ctorch._utils\n_rebuild_tensor\n(" STORAGE("HalfStorage", "\x02") "K\x01))tR", F16, 1, 0, 0),
        CASE("ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE("LongStorage", "\x02") "K\x01))\x89}}tR", I64, 1, 0, 0),
        CASE("ctorch._utils\n_rebuild_tensor_v3\n((X\x07\x00\x00\x00storagectorch.storage\nUntypedStorage\nX\x01\x00\x00\x00"
             "0NK\x05tQK\x00K\x02\x85K\x01\x85\x89}ctorch\nint16\ntR",
             I16, 0, 1, 2),
        CASE("ctorch._utils\n_rebuild_parameter\n" TENSOR("K\x02", "))") "\x88}\x87R", F32, 2, 0, 0),
        CASE("ctorch._utils\n_rebuild_parameter_with_state\n(" TENSOR("K\x02", "))") "\x88}}tR", F32, 2, 0, 0),
        CASE("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n(" STORAGE(
                 "CharStorage", "\x02") "K\x01))\x89}t}tR",
             I8, 1, 0, 0),
        /* an old legacy file: elements 2 to 5 of the storage */
        CASE(REBUILD("(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00"
                     "0NK\x06(X\x01\x00\x00\x00"
                     "1K\x02K\x04ttQ"
                     "K\x03))"),
             F32, 3, 0, 0),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        test_pickle test;
        const tern_value value = run_checked(&test, (const unsigned char *)cases[i].bytes, cases[i].n_bytes);
        if (value.kind != TERN_VALUE_TENSOR) fail_msg("case %zu is %s", i, tern__value_kind_name(value.kind));
        const tern_pickle_tensor *tensor = &test.pickle.tensors[value.index];
        assert_int_equal(tensor->dtype, cases[i].dtype);
        assert_int_equal(tensor->offset, cases[i].offset);
        assert_int_equal(tensor->rank, cases[i].rank);
        assert_int_equal(tensor->shape[0], cases[i].first_size);
        assert_int_equal(test.pickle.n_storages, 1);
        assert_memory_equal(test.pickle.storages[0].key, "0", 1);
        finish(&test);
    }
}

/* ---- Refusals ---- */

typedef struct refusal {
    const char *bytes;
    size_t n_bytes;
    tern_status code;
    const char *message;
} refusal;

#define REFUSAL(literal, code, message)                                                                                                    \
    { literal, sizeof(literal) - 1, TERN_E_##code, message }

static void check_refusals(const refusal *cases, size_t n) {
    for (size_t i = 0; i < n; i++) check_refused((const unsigned char *)cases[i].bytes, cases[i].n_bytes, cases[i].code, cases[i].message);
}

#define NOTHING_IS_RUN ": only tensors are read, and nothing is run"

static void test_globals(void **state) {
    (void)state;
    static const refusal cases[] = {
        REFUSAL("\x80\x02"
                "cposix\nsystem\nX\x02\x00\x00\x00id\x85R.",
                UNSUPPORTED, "byte 2 of the pickle: refuses to load posix.system" NOTHING_IS_RUN),
        REFUSAL("cos\nsystem\n(X\x02\x00\x00\x00idtR.", UNSUPPORTED, "byte 0 of the pickle: refuses to load os.system" NOTHING_IS_RUN),
        REFUSAL("N0cbuiltins\neval\n.", UNSUPPORTED, "byte 2 of the pickle: refuses to load builtins.eval" NOTHING_IS_RUN),
        REFUSAL("c__builtin__\nexec\n.", UNSUPPORTED, "refuses to load __builtin__.exec" NOTHING_IS_RUN),
        REFUSAL("cbuiltins\ngetattr\n.", UNSUPPORTED, "refuses to load builtins.getattr" NOTHING_IS_RUN),
        REFUSAL("\x8C\x05posix\x8C\x06system\x93.", UNSUPPORTED, "byte 15 of the pickle: refuses to load posix.system" NOTHING_IS_RUN),
        REFUSAL("\x8C\x05torch\x8C\x0A_utils.sys\x93.", UNSUPPORTED, "refuses to load torch._utils.sys" NOTHING_IS_RUN),
        REFUSAL("ccollections\nOrderedDict.__init__\n.", UNSUPPORTED, "refuses to load collections.OrderedDict.__init__"),
        REFUSAL("ctorch\nload\n.", UNSUPPORTED, "refuses to load torch.load" NOTHING_IS_RUN),
        REFUSAL("cnumpy.core.multiarray\nscalar\n.", UNSUPPORTED, "refuses to load numpy.core.multiarray.scalar" NOTHING_IS_RUN),
        REFUSAL("c\n\n.", UNSUPPORTED, "refuses to load ." NOTHING_IS_RUN),
        REFUSAL("ca\x01"
                "b\xFF\nx\n.",
                UNSUPPORTED, "refuses to load a?b?.x" NOTHING_IS_RUN),
        REFUSAL("ctorch._utils\n_rebuild_qtensor\n.", UNSUPPORTED, "torch._utils._rebuild_qtensor: quantized tensors are not read"),
        REFUSAL("ctorch\nQInt8Storage\n.", UNSUPPORTED, "quantized tensors are not read"),
        REFUSAL("ctorch._utils\n_rebuild_sparse_tensor\n.", UNSUPPORTED, "sparse tensors are not read"),
        REFUSAL("ctorch\nComplexFloatStorage\n.", UNSUPPORTED, "complex tensors are not read"),
        REFUSAL("ctorch._utils\n_rebuild_meta_tensor_no_storage\n.", UNSUPPORTED, "meta tensors have no data"),
        REFUSAL("ctorch\nfloat8_e4m3fn\n.", UNSUPPORTED, "torch.float8_e4m3fn: only F64, F32, F16, BF16, I64"),
        REFUSAL("ctorch\nuint16\n.", UNSUPPORTED, "torch.uint16: only F64, F32, F16, BF16, I64"),
        REFUSAL("c__torch__.model\nModel\n.", UNSUPPORTED, "this is a TorchScript program; save its state_dict() instead"),
        REFUSAL("NN\x93.", FORMAT, "a global is named by None and None"),
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}

static void test_opcodes(void **state) {
    (void)state;
    static const refusal cases[] = {
        REFUSAL("N2.", UNSUPPORTED, "byte 1 of the pickle: refuses the opcode DUP: tensors do not need it"),
        REFUSAL("(iposix\nsystem\n.", UNSUPPORTED, "byte 1 of the pickle: refuses the opcode INST"),
        REFUSAL("(ccollections\nOrderedDict\no.", UNSUPPORTED, "refuses the opcode OBJ"),
        REFUSAL("ccollections\nOrderedDict\n)\x81.", UNSUPPORTED, "refuses the opcode NEWOBJ:"),
        REFUSAL("))}\x92.", UNSUPPORTED, "refuses the opcode NEWOBJ_EX"),
        REFUSAL("\x82\x01.", UNSUPPORTED, "refuses the opcode EXT1"),
        REFUSAL("P0\n.", UNSUPPORTED, "refuses the opcode PERSID"),
        REFUSAL("S'x'\n.", UNSUPPORTED, "refuses the opcode STRING"),
        REFUSAL("Vx\n.", UNSUPPORTED, "refuses the opcode UNICODE"),
        REFUSAL("\x97.", UNSUPPORTED, "refuses the opcode NEXT_BUFFER"),
        REFUSAL("\x98.", UNSUPPORTED, "refuses the opcode READONLY_BUFFER"),
        REFUSAL("\xFF.", FORMAT, "byte 0 of the pickle: 0xFF is no opcode"),
        REFUSAL("\x80\x06N.", UNSUPPORTED, "protocol 6 is not 0 to 5"),
        REFUSAL("", FORMAT, "byte 0 of the pickle: passes the end of its 0 bytes; was the file cut short?"),
        REFUSAL("N", FORMAT, "byte 1 of the pickle: passes the end of its 1 bytes"),
        REFUSAL(".", FORMAT, "ends with 0 values on the stack instead of one"),
        REFUSAL("NN.", FORMAT, "ends with 2 values on the stack instead of one"),
        REFUSAL("(N.", FORMAT, "on the stack instead of one"),
        REFUSAL("0.", FORMAT, "there is no mark on the stack"),
        REFUSAL("1.", FORMAT, "there is no mark on the stack"),
        REFUSAL("t.", FORMAT, "there is no mark on the stack"),
        REFUSAL("(e.", FORMAT, "the stack has fewer than 1 values"),
        REFUSAL("N(\x85.", FORMAT, "the stack has fewer than 1 values"), /* nothing reaches below a mark */
        REFUSAL("NN\x87.", FORMAT, "the stack has fewer than 3 values"),
        REFUSAL("NNa.", FORMAT, "None cannot take items of a list"),
        REFUSAL("]NNs.", FORMAT, "a list cannot take items of a dict"),
        REFUSAL("}(Nu.", FORMAT, "a key of a dict has no value"),
        REFUSAL("(Nd.", FORMAT, "a key of a dict has no value"),
        REFUSAL("q\x00.", FORMAT, "the stack has fewer than 1 values"),
        REFUSAL("h\x00.", FORMAT, "memo 0 is empty"),
        REFUSAL("Nq\x02h\x01.", FORMAT, "memo 1 is empty"),
        REFUSAL("Nr\xFF\xFF\xFF\xFF.", FORMAT, "memo 4294967295 is not the next one"),
        REFUSAL("NNR.", FORMAT, "None is called with None"),
        REFUSAL("ccollections\nOrderedDict\nNR.", FORMAT, "a class is called with None"),
        REFUSAL("ctorch\nFloatStorage\n)R.", UNSUPPORTED, "refuses to call torch.FloatStorage"),
        REFUSAL("ctorch\nfloat32\n)R.", UNSUPPORTED, "refuses to call torch.float32"),
        REFUSAL("ctorch\nTensor\n)R.", UNSUPPORTED, "refuses to call torch.Tensor"),
        REFUSAL("N}b.", UNSUPPORTED, "refuses to set the state of None from a dict"),
        REFUSAL("ctorch\nTensor\n}b.", UNSUPPORTED, "refuses to set the state of a class from a dict"),
        REFUSAL(TENSOR("K\x00", "))") "}b.", UNSUPPORTED, "refuses to set the state of a tensor from a dict"),
        REFUSAL("]}b.", UNSUPPORTED, "refuses to set the state of a list from a dict"),
        REFUSAL("}N}\x86"
                "b.",
                UNSUPPORTED, "refuses to set the state of a dict from a tuple"),
        REFUSAL("Iten\n.", FORMAT, "\"ten\" is no number"),
        REFUSAL("I\n.", FORMAT, "\"\" is no number"),
        REFUSAL("L-L\n.", FORMAT, "\"-\" is no number"),
        REFUSAL("I1", FORMAT, "passes the end"),
        REFUSAL("cposix\nsystem", FORMAT, "passes the end"),
        REFUSAL("ccollections\nOrderedDict\nN\x85R.", FORMAT, "an OrderedDict is made of None"),
        REFUSAL("ccollections\nOrderedDict\n]Na\x85R.", FORMAT, "an item of an OrderedDict is None, not a pair"),
        REFUSAL("ctorch\nSize\n)R.", FORMAT, "a torch.Size is made of 0 values, not of a tuple"),
        REFUSAL("c_codecs\nencode\nX\x01\x00\x00\x00s\x85R.", FORMAT, "bytes are made of 1 values"),
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}

/* Sizes that no file has, refused before anything is allocated. */
static void test_lengths(void **state) {
    (void)state;
    static const refusal cases[] = {
        REFUSAL("X\xFF\xFF\xFF\x7Fshort.", FORMAT, "passes the end of its 11 bytes"),
        REFUSAL("X\xFF\xFF\xFF\xFFshort.", FORMAT, "passes the end"),
        REFUSAL("T\xFF\xFF\xFF\x7Fshort.", FORMAT, "passes the end"),
        REFUSAL("B\xFF\xFF\xFF\xFFshort.", FORMAT, "passes the end"),
        REFUSAL("\x8B\xFF\xFF\xFF\x7Fshort.", FORMAT, "passes the end"),
        REFUSAL("\x8B\xFF\xFF\xFF\xFFshort.", FORMAT, "passes the end"),
        REFUSAL("\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFshort.", FORMAT, "passes the end"),
        REFUSAL("\x8E\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7Fshort.", FORMAT, "passes the end"),
        REFUSAL("\x96\x00\x00\x00\x80\x00\x00\x00\x00short.", FORMAT, "passes the end"),
        REFUSAL("\x95\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFN.", FORMAT, "passes the end"),
        REFUSAL("\x8C\xFFshort.", FORMAT, "passes the end"),
        REFUSAL("C\x06short", FORMAT, "passes the end"),
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}

static void test_lying_tensors(void **state) {
    (void)state;
#define BIG "\x8A\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F" /* 2^63 - 1 */
    static const refusal cases[] = {
        REFUSAL(TENSOR("K\x01", "K\x06\x85K\x01\x85"), FORMAT, "a tensor passes the end of its storage, which has 6 elements"),
        REFUSAL(TENSOR("K\x00", "K\x07\x85K\x01\x85"), FORMAT, "a tensor passes the end"),
        REFUSAL(TENSOR("K\x06", "))"), FORMAT, "a tensor passes the end"),
        REFUSAL(TENSOR("K\x00", "K\x02K\x02\x86K\x05K\x01\x86"), FORMAT, "a tensor passes the end"),
        REFUSAL(TENSOR(BIG, "K\x02\x85K\x01\x85"), FORMAT, "a tensor passes the end"),
        REFUSAL(TENSOR(BIG, "K\x02\x85" BIG "\x85"), FORMAT, "a tensor passes the end"),
        REFUSAL(TENSOR("K\x00", "K\x03\x85" BIG "\x85"), FORMAT, "a tensor passes the end"),
        REFUSAL(TENSOR("K\x00", BIG "\x85K\x00\x85"), FORMAT, "the size of a tensor overflows at dimension 0, 9223372036854775807"),
        REFUSAL(TENSOR("K\x00", "K\x00" BIG "\x86K\x00K\x00\x86"), FORMAT, "the size of a tensor overflows at dimension 1"),
        REFUSAL(TENSOR("K\x00", BIG BIG "\x86K\x00K\x00\x86"), FORMAT, "the size of a tensor overflows"),
        REFUSAL(TENSOR("K\x00", "\x8A\x08\x00\x00\x00\x00\x00\x00\x00\x20\x85K\x00\x85"), FORMAT,
                "the size of a tensor overflows"), /* 2^63 bytes */
        REFUSAL(TENSOR("J\xFF\xFF\xFF\xFF", "))"), FORMAT, "the offset of a tensor is negative, not an int of at least 0"),
        REFUSAL(TENSOR("K\x00", "J\xFF\xFF\xFF\xFF\x85K\x01\x85"), FORMAT, "a dimension of a tensor is negative"),
        REFUSAL(TENSOR("K\x05", "K\x02\x85J\xFF\xFF\xFF\xFF\x85"), FORMAT, "a stride of a tensor is negative"),
        REFUSAL(TENSOR("\x88", "))"), FORMAT, "the offset of a tensor is a bool"),
        REFUSAL(TENSOR("\x8A\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01", "))"), FORMAT, "the offset of a tensor is a long int"),
        REFUSAL(TENSOR("K\x00", ")K\x01\x85"), FORMAT, "are a tuple and a tuple, not two tuples of one length"),
        REFUSAL(TENSOR("K\x00", "]]"), FORMAT, "are a list and a list, not two tuples of one length"),
        REFUSAL(TENSOR("K\x00", "(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t"),
                UNSUPPORTED, "a tensor has 9 dimensions; at most 8 are read"),
        REFUSAL("ctorch._utils\n_rebuild_tensor_v2\n)R.", FORMAT, "a tensor is made of 0 values"),
        REFUSAL("ctorch._utils\n_rebuild_tensor\n(NNNNtR.", FORMAT, "the storage of a tensor is None"),
        REFUSAL("ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE("FloatStorage", "\x06") "K\x00))\x89}}X\x04\x00\x00\x00"
                                                                                       "conj\x88stR.",
                UNSUPPORTED, "a tensor has metadata (conj, neg)"),
        REFUSAL("ctorch._utils\n_rebuild_tensor_v3\n(" STORAGE("FloatStorage", "\x06") "K\x00))\x89}ctorch\nint16\ntR.", FORMAT,
                "has no dtype, or its storage has one too"),
        REFUSAL("ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch.storage\nUntypedStorage\nX\x01\x00\x00\x00"
                "0NK\x05tQK\x00))\x89}tR.",
                FORMAT, "a tensor has no dtype"),
        REFUSAL("ctorch._utils\n_rebuild_parameter\nN\x88}\x87R.", FORMAT,
                "a parameter is made of 3 values, the first of which must be a tensor"),
        REFUSAL("ctorch._utils\n_rebuild_parameter\n)R.", FORMAT, "a parameter is made of 0 values"),
        REFUSAL("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nctorch\nTensor\n)}tR.", UNSUPPORTED,
                "refuses to call torch._tensor._rebuild_from_type_v2"),
        REFUSAL("ctorch._tensor\n_rebuild_from_type_v2\n(NNNNtR.", FORMAT, "is not made of a function, a type and a tuple"),
        REFUSAL("NQ.", FORMAT, "a persistent id is None that names no storage"),
        REFUSAL("(NNNNNtQ.", FORMAT, "a persistent id is a tuple that names no storage"),
        REFUSAL("(X\x07\x00\x00\x00storageNNNNtQ.", FORMAT, "the type of a storage is None that is no storage type"),
        REFUSAL("(X\x07\x00\x00\x00storagectorch\nfloat32\nNNNtQ.", FORMAT, "the type of a storage is a class that is no storage type"),
        REFUSAL("(X\x07\x00\x00\x00storagectorch\nIntStorage\nK\x00NNtQ.", FORMAT, "the key of a storage is an int, not a string"),
        REFUSAL("(X\x07\x00\x00\x00storagectorch\nIntStorage\nX\x00\x00\x00\x00N" BIG "tQ.", FORMAT,
                "a storage has 9223372036854775807 elements"),
        REFUSAL("(X\x07\x00\x00\x00storagectorch\nIntStorage\nX\x00\x00\x00\x00NJ\xFF\xFF\xFF\xFFtQ.", FORMAT,
                "the size of a storage is negative"),
        REFUSAL("(X\x07\x00\x00\x00storagectorch\nIntStorage\nX\x00\x00\x00\x00NK\x05(NK\x02K\x04ttQ.", FORMAT,
                "a view of 4 elements from 2 on passes the end of its storage of 5"),
        REFUSAL("(X\x07\x00\x00\x00storagectorch\nIntStorage\nX\x00\x00\x00\x00NK\x05(N" BIG BIG "ttQ.", FORMAT,
                "passes the end of its storage of 5"),
        REFUSAL("(X\x07\x00\x00\x00storagectorch\nIntStorage\nX\x00\x00\x00\x00NK\x05]tQ.", FORMAT,
                "the view of a storage is a list, not three values"),
    };
    check_refusals(cases, sizeof cases / sizeof cases[0]);
}

/* ---- Bombs ---- */

typedef struct bomb {
    unsigned char *bytes;
    size_t n;
} bomb;

static bomb bomb_new(size_t capacity) {
    bomb made = {.bytes = malloc(capacity)};
    assert_non_null(made.bytes);
    return made;
}

static void bomb_add(bomb *it, const char *bytes, size_t n_bytes, size_t times) {
    for (size_t i = 0; i < times; i++, it->n += n_bytes) memcpy(it->bytes + it->n, bytes, n_bytes);
}

#define ADD(it, literal, times) bomb_add((it), (literal), sizeof(literal) - 1, (times))

static void check_bomb(bomb *it, tern_status code, const char *message) {
    check_refused(it->bytes, it->n, code, message);
    free(it->bytes);
}

static void test_bombs(void **state) {
    (void)state;
    enum { N = 10 << 20 };
    bomb nested = bomb_new(N);
    ADD(&nested, "]", N - 2);
    check_bomb(&nested, TERN_E_UNSUPPORTED, "more than 65536 values are on the stack");

    bomb marks = bomb_new(N);
    ADD(&marks, "(", N - 2);
    check_bomb(&marks, TERN_E_UNSUPPORTED, "byte 256 of the pickle: values are nested deeper than 256");

    bomb tuples = bomb_new(N); /* ((((...)))): one value on the stack, each tuple in the next */
    ADD(&tuples, ")", 1);
    ADD(&tuples, "\x85", N - 2);
    check_bomb(&tuples, TERN_E_UNSUPPORTED, "its values need more than 128 MB");

    bomb dropped = bomb_new(N);
    ADD(&dropped, "]0", N / 2 - 2);
    check_bomb(&dropped, TERN_E_UNSUPPORTED, "its values need more than 128 MB");

    bomb dicts = bomb_new(N); /* an OrderedDict of a list of pairs, made again and again */
    ADD(&dicts, "](", 1);
    ADD(&dicts, "NN\x86", 10000);
    ADD(&dicts,
        "e\x85q\x00"
        "0ccollections\nOrderedDict\nq\x01"
        "0",
        1);
    ADD(&dicts, "h\x01h\x00R0", 1000);
    check_bomb(&dicts, TERN_E_UNSUPPORTED, "its values need more than 128 MB");

    bomb tensors = bomb_new(N); /* one tensor's arguments, used again and again */
    ADD(&tensors, TENSOR("K\x00", "))"), 1);
    tensors.n -= 2; /* the call */
    ADD(&tensors,
        "tq\x00"
        "0q\x01"
        "0",
        1);
    ADD(&tensors, "h\x01h\x00R0", (N - tensors.n) / 6);
    check_bomb(&tensors, TERN_E_UNSUPPORTED, "its values need more than 128 MB");
}

/* A billion laughs: each list holds the one before it ten times. They are nine lists, and nothing counts the leaves. */
static void test_shared(void **state) {
    (void)state;
    test_pickle test;
    bomb laughs = bomb_new(4096);
    ADD(&laughs, "(NNNNNNNNNNl", 1);
    for (int i = 0; i < 60; i++) {
        const char put[] = {'q', (char)i, '0'}, get[] = {'h', (char)i};
        bomb_add(&laughs, put, 3, 1);
        ADD(&laughs, "(", 1);
        bomb_add(&laughs, get, 2, 10);
        ADD(&laughs, "l", 1);
    }
    ADD(&laughs, ".", 1);
    const tern_value value = run_checked(&test, laughs.bytes, laughs.n);
    assert_int_equal(value.list->n, 10);
    assert_true(test.pickle.used_memory < 64 * 1024);
    finish(&test);
    free(laughs.bytes);
}

/* Keys and dicts that are shared cost a few bytes for each mention, but a key is copied and a dict looked through each time. */
static void check_state_dict_refused(bomb *it, const char *message) {
    test_pickle test;
    tern_state_entry *entries;
    size_t n;
    const tern_value value = run_checked(&test, it->bytes, it->n);
    check_failed(tern__state_dict_read(&entries, &n, &test.pickle, &value), TERN_E_UNSUPPORTED, &test.err, message);
    assert_null(entries);
    finish(&test);
    free(it->bytes);
}

static void test_shared_in_dicts(void **state) {
    (void)state;
    enum { N = 2 << 20 };
    bomb names = bomb_new(N);
    ADD(&names, "X\x00\x04\x00\x00", 1);
    ADD(&names, "n", 1024);
    ADD(&names,
        "q\x00"
        "0" TENSOR("K\x00", "))") "q\x01"
                                  "0}",
        1);
    ADD(&names, "h\x00h\x01s", 150000);
    ADD(&names, ".", 1);
    check_state_dict_refused(&names, "weights: the names of its tensors are very long");

    bomb dicts = bomb_new(N);
    ADD(&dicts, "}(", 1);
    ADD(&dicts, "NN", 10000);
    ADD(&dicts,
        "uq\x00"
        "0}(",
        1);
    ADD(&dicts, "Nh\x00", 20000);
    ADD(&dicts, "u.", 1);
    check_state_dict_refused(&dicts, "weights: holds one large dict very often");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),         cmocka_unit_test(test_containers),    cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_globals),         cmocka_unit_test(test_opcodes),       cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_bombs),           cmocka_unit_test(test_lying_tensors), cmocka_unit_test(test_shared),
        cmocka_unit_test(test_shared_in_dicts),
    };
    return cmocka_run_group_tests_name("pickle", tests, NULL, NULL);
}
